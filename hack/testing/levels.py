"""The levels of tests: what each needs, and how it is run."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import lifecycle, provider, tools
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, Word, environment, say
from hack.testing import install
from hack.testing.summary import Failure, reasons


@dataclass(frozen=True)
class Level:
    """A folder of tests, the Debian packages and tools it needs, whether it needs the local cluster, how many processes share its
    tests, and what else pytest is told."""

    name: str
    packages: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    cluster: bool = False
    processes: int = 1
    options: tuple[str, ...] = ()


LEVELS = (
    Level("unit"),
    Level("contract", packages=("postgresql-15",), processes=2),
    Level("chart", packages=("prometheus", "etcd-server"), tools=("kubernetes", "helm"), processes=2),
    Level("cluster", packages=("etcd-server", "postgresql-15"), tools=("kubernetes", "helm"), processes=2),
    Level(
        "faults",
        packages=("etcd-server", "postgresql-15"),
        tools=("kubernetes", "helm"),
        processes=2,
        # Else files come by their number of tests, and the one with a single long one is the last, alone.
        options=("--no-loadscope-reorder",),
    ),
    Level("bench", packages=("etcd-server", "postgresql-15", "wrk"), tools=("kubernetes", "helm", "kwok", "vegeta")),
    Level("e2e", packages=("chromium",), tools=("kubernetes", "helm"), cluster=True),
)


@dataclass(frozen=True)
class Ended:
    """How pytest ended: its exit code, its last line, the tests that failed, and those of them that found what must not
    happen even once (tests/never.py)."""

    code: int
    last: str
    failed: tuple[Failure, ...] = ()
    never: tuple[str, ...] = ()


@dataclass(frozen=True)
class Passed:
    """pytest's own last line, or those of both tries, and what passed only at the second."""

    last: str
    unsteady: tuple[Failure, ...] = ()


def run(level: Level, paths: Paths, port: int) -> Passed:
    """Run one level; raises when a test failed."""
    install.ensure_programs(paths, level.packages, level.tools)
    if not level.cluster:
        return _pytest(level, paths, {})
    with local_cluster(paths, port):
        folders = [str(tools.ensure(name, paths)) for name in level.tools]
        path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
        return _pytest(level, paths, {"KUBECONFIG": str(paths.kubeconfig), "HOA_PORT": str(port), "PATH": path})


@contextmanager
def local_cluster(paths: Paths, port: int) -> Iterator[None]:
    """The local cluster as the checkout would have it now; taken away again only by whom it was brought up."""
    cluster, _ = provider.choose(paths)
    found = cluster.running
    try:
        lifecycle.up(paths, port)
        yield
    finally:
        if not found:
            lifecycle.down(paths)


def _pytest(level: Level, paths: Paths, env: Mapping[str, str]) -> Passed:
    """Run pytest; what failed is tried once more by itself, and a test that only then passes is named as unsteady.

    The levels share two cores with a cluster: a deadline missed under that load is worth knowing, and need be no
    defect. What the first try said stays in the output, and the summary names the unsteady tests of each level. What
    must not happen even once is not tried again: that it does not happen every time is no comfort.
    """
    spread = ["-n", str(level.processes)] if level.processes > 1 else []
    ended = _run_pytest(paths, env, f"tests/{level.name}", *spread, *level.options)
    passed = Passed(ended.last)
    if ended.never:
        hint = f"What must not happen even once, and did: {', '.join(ended.never)}. Read above what they found."
        raise ClusterError(f"Tests of the level {level.name} failed, and are not tried again: {ended.last}", hint)
    if ended.code == 1 and ended.failed:
        first = ended
        say(f"    {level.name}: {first.last}\n    Once more, only what failed:")
        # They were noted as they came, of two files in turn: what a file's tests share is made once.
        file_by_file = sorted((failure.name for failure in first.failed), key=lambda name: name.partition("::")[0])
        ended = _run_pytest(paths, env, *file_by_file)
        passed = Passed(f"{first.last} / second try: {ended.last}", first.failed)
    if ended.code == 5:
        raise ClusterError(f"There are no tests in tests/{level.name}.", "Each level has some: docs/architecture.md.")
    if ended.code != 0:
        again = f"Run them again: .venv/bin/python -m pytest tests/{level.name}"
        raise ClusterError(
            f"Tests of the level {level.name} failed: {passed.last}", "\n".join([*reasons(ended.failed), again])
        )
    say(f"    {level.name}: {passed.last}")
    return passed


def _run_pytest(paths: Paths, env: Mapping[str, str], *arguments: str) -> Ended:
    """Run it once; its output is shown as it comes."""
    argv: list[Word] = [install.python(paths), "-m", "pytest", "--color=no", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        failed = Path(folder) / "failed"
        process = subprocess.Popen(
            argv,
            cwd=paths.repository,
            env=environment({**env, "HOA_TESTS_FAILED": str(failed)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output = _shown(process)
        except BaseException:
            # Asked to stop: pytest ends as by Ctrl-C, so that its fixtures end the servers they started.
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        noted = failed.read_text().splitlines() if failed.exists() else []
        return ended(process.wait(), output, [Failure(**json.loads(line)) for line in noted])


def _shown(process: "subprocess.Popen[bytes]") -> str:
    """Everything the process says, passed on at once, dot by dot."""
    assert process.stdout is not None
    said = bytearray()
    while chunk := os.read(process.stdout.fileno(), 65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        said += chunk
    return said.decode(errors="replace")


def ended(code: int, output: str, failed: Iterable[Failure] = ()) -> Ended:
    """What pytest's output says of its end; `failed` are the tests that it noted."""
    never = re.findall(r"^NEVER: (tests/.+)$", output, re.MULTILINE)
    by_name = {failure.name: failure for failure in failed}  # one may fail, and be torn down badly after it
    return Ended(code, last_line(output), tuple(by_name.values()), tuple(never))


def last_line(output: str) -> str:
    """pytest's own closing line, such as `=== 3 passed in 1.20s ===`."""
    lines = [line.strip() for line in output.splitlines()]
    return next((line for line in reversed(lines) if re.match(r"=+ .* in [\d.]+s", line)), "")

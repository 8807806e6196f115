"""`python3 -m hack.testing install|check|all|unit|contract|chart|cluster|faults|e2e|bench|figures|benchmarks`."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence

from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, say
from hack.testing import checks, install, levels, summary
from hack.testing.summary import Result


def _check(paths: Paths) -> Result:
    started = time.monotonic()
    say("--> checks")
    checks.run_all(paths)
    return Result("check", "", time.monotonic() - started)


def _level(level: levels.Level, paths: Paths, port: int, failures: list[ClusterError]) -> Result:
    """Run a level; one that fails does not keep the next from saying what it has to say."""
    started = time.monotonic()
    say(f"--> tests/{level.name}")
    try:
        passed = levels.run(level, paths, port)
    except ClusterError as error:
        # When the cluster can't be taken away after a failure, the first failure is the one to read.
        failures += [told for told in (error.__context__, error) if isinstance(told, ClusterError)]
        passed = levels.Passed(f"FAILED: {error}")
    return Result(level.name, passed.last, time.monotonic() - started, passed.unsteady)


def _run(wanted: str, paths: Paths, port: int, results: list[Result], failures: list[ClusterError]) -> None:
    """Run what is wanted, in order; checks that fail end it, for then nothing else is worth its time."""
    install.ensure_venv(paths)
    if wanted == "benchmarks":
        bench = next(level for level in levels.LEVELS if level.name == "bench")
        install.ensure_programs(paths, bench.packages, bench.tools)
    if wanted == "figures":
        install.ensure_programs(paths, ["wrk", "etcd-server", "postgresql-15"], ["kubernetes", "helm"])
    if wanted in ("check", "all"):
        results.append(_check(paths))
    for level in levels.LEVELS:
        if wanted in (level.name, "all"):
            # One by one: what has passed is told even when the next one is interrupted.
            results.append(_level(level, paths, port, failures))  # noqa: PERF401


def main(argv: Sequence[str]) -> int:
    """Run one verb; the summary is printed however it ends."""
    parser = argparse.ArgumentParser(prog="python3 -m hack.testing", description=__doc__)
    parser.add_argument(
        "what", choices=["install", "check", "all", "figures", "benchmarks", *(level.name for level in levels.LEVELS)]
    )
    parser.add_argument("--port", type=int, default=int(os.environ.get("HOA_PORT") or 8080))
    args = parser.parse_args(argv)
    # A CI that gives up sends SIGTERM: end as by Ctrl-C, so that the cluster is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    results: list[Result] = []
    failures: list[ClusterError] = []
    try:
        _run(args.what, Paths.from_env(), args.port, results, failures)
    except ClusterError as error:
        failures.append(error)
    if results:
        print("\n".join(summary.lines(results)), flush=True)
    for told in failures:
        print(f"FAILED: {told}\n{told.hint}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

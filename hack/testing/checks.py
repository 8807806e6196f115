"""What can be said about the code without running it. All checks run, so that one look shows all that is wrong."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import debian
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, Word, run, say
from hack.testing import install

_CODE = ("operator", "app", "hack", "tests")


@dataclass(frozen=True)
class Check:
    """One command that must end well, and how to mend what it finds."""

    name: str
    argv: tuple[Word, ...]
    mend: str


def run_all(paths: Paths) -> None:
    """Run every check; raises with the names of those that found something."""
    debian.ensure("shellcheck")
    failed = []
    for check in _checks(paths):
        try:
            run(check.argv, cwd=paths.repository, env={"PYTHONPATH": "operator:app:."})
            say(f"    {check.name}: well")
        except ClusterError as error:
            say(f"    {check.name}: NOT WELL. {check.mend}\n{error}")
            failed.append(check.name)
    if (paths.repository / "operator" / "__init__.py").exists():
        say("    operator/__init__.py shadows the standard library's operator module. Remove it.")
        failed.append("operator/__init__.py")
    if failed:
        raise ClusterError(f"Not well: {', '.join(failed)}.", "What each found stands above; run again: make check")


def _checks(paths: Paths) -> Iterator[Check]:
    programs = install.python(paths).parent
    yield Check("ruff format", (programs / "ruff", "format", "--check", "."), "Mend: .venv/bin/ruff format .")
    yield Check("ruff", (programs / "ruff", "check", "."), "Mend some: .venv/bin/ruff check --fix .")
    yield Check("mypy", (programs / "mypy", *_CODE), "Mend the types.")
    yield Check("import contracts", (programs / "lint-imports",), "Imports flow one way: docs/architecture.md.")
    mend = "Keep what stored objects hold valid, or say in hack/compat/accepted.yaml why none is hurt."
    yield Check("stored objects", (programs / "python", "-m", "hack.compat"), mend)
    mend = "Expand first, contract one release later: docs/adr/0006-expand-and-contract.md."
    yield Check("migrations", (programs / "python", "-m", "hack.migrations"), mend)
    yield Check("shellcheck", (debian.program("shellcheck"), *_shell_files(paths)), "Mend the shell scripts.")


def _shell_files(paths: Paths) -> list[Path]:
    found = [paths.repository / ".ci" / "run"]
    for folder, names, files in os.walk(paths.repository):
        names[:] = [name for name in names if not name.startswith(".") and name not in ("build", "node_modules")]
        found += [Path(folder) / file for file in files if file.endswith(".sh")]
    return found

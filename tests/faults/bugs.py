"""Seeded bugs: patches that put into a copy of the programs what the tests claim to catch.

A patch begins with a line that says what goes wrong, and a line ``Caught by: <test>`` for each test that must fail, with
its parameter in brackets if only that one must. Where a test takes a share of all breaks, ``Breaks: <share>`` says which
are to be run, so that the one that shows the bug is surely among them: ``all``, or how their names begin. ``Lives: <number>
from <seed>`` says which of the random lives show it. ``Shown by: <words>`` is what the test must say: it fails for that
reason and no other.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.breaks import UNKNOWN
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER: Final = Path(__file__).parent / "bugs"
COPIED: Final = ("operator", "app", "tests", "crds", "charts", "hack", "manifests", "docs", "pyproject.toml")


@dataclass(frozen=True)
class Bug:
    """One patch, what it breaks in words, and the tests that must notice."""

    patch: Path
    what: str
    catchers: tuple[str, ...]
    breaks: str = ""
    lives: str = ""
    shown_by: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name."""
        return self.patch.stem

    @property
    def level(self) -> str:
        """The level of the tests that catch it; a patch names tests of one level."""
        (level,) = {catcher.split("/")[1] for catcher in self.catchers}
        return level

    def applies(self, tree: Path = REPOSITORY) -> str:
        """Return why the patch cannot be put in, or an empty text."""
        return self._git(tree, "--check").stderr

    def plant(self, folder: Path) -> Path:
        """Put the bug into a copy of the repository in this folder; return the copy."""
        copy = clean_copy(folder / self.name)
        done = self._git(copy)
        assert done.returncode == 0, done.stderr
        return copy

    def _git(self, tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
        # Outside of a repository `git apply` is `patch`; inside, it would take only what is below the current folder.
        command = ["git", "apply", *options, str(self.patch)]
        env = {"GIT_CEILING_DIRECTORIES": str(tree.parent), "PATH": "/usr/bin:/bin:/usr/local/bin"}
        return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, env=env)

    def hunt(self, copy: Path, env: Mapping[str, str]) -> tuple[set[str], str]:
        """Run the catchers in a copy with the bug; return those that failed, if for the reasons they should, and what
        pytest said."""
        done = run(self.level, self.catchers, copy, {**env, **shares([self])})
        assert UNKNOWN not in done.stdout, f"{self.name}: {done.stdout[-3000:]}"
        shown = all(words in done.stdout for words in self.shown_by)
        return failed(done.stdout) if shown else set(), (done.stdout + done.stderr)[-3000:]


def failed(said: str) -> set[str]:
    """Return the tests that failed, by pytest's own summary: each with its parameter, and without."""
    names = {
        line.removeprefix("FAILED ").split(" - ", 1)[0] for line in said.splitlines() if line.startswith("FAILED ")
    }
    return names | {name.split("[", 1)[0] for name in names}


def shares(bugs: Iterable[Bug]) -> dict[str, str]:
    """Return the settings of a run in which the breaks and the lives of all these bugs are run."""
    bugs = list(bugs)
    share = ";".join(sorted({bug.breaks for bug in bugs if bug.breaks}))
    found = {"HOA_FAULTS_CRASH": share, "HOA_FAULTS_LANES": "2"} if share else {}
    lives = {bug.lives for bug in bugs if bug.lives}
    if lives:
        (which,) = lives  # one run has one range of them
        found["HOA_FAULTS_N"], found["HOA_FAULTS_SEED"] = which.split(" from ")
    return found


def clean_copy(copy: Path) -> Path:
    """Copy the repository, as far as tests need it, to this path; return it."""
    for entry in COPIED:
        source = REPOSITORY / entry
        if source.is_dir():
            shutil.copytree(source, copy / entry, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / entry)
    return copy


def run(level: str, tests: Iterable[str], copy: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run tests of one level in a copy."""
    quick = ["--noconftest"] if level == "unit" else []
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *quick, *tests]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, env=dict(env))


def known() -> list[Bug]:
    """Return every seeded bug, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.patch"))]


def _read(path: Path) -> Bug:
    head = path.read_text().split("\n--- ", 1)[0].splitlines()

    def said(what: str) -> tuple[str, ...]:
        return tuple(line.removeprefix(f"{what}: ") for line in head if line.startswith(f"{what}: "))

    return Bug(path, head[0], said("Caught by"), "".join(said("Breaks")), "".join(said("Lives")), said("Shown by"))

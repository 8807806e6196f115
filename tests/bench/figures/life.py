"""The life of a tenant in figures: what tests with the marker `figures` measure while they prove it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hack.cluster import tools
from hack.cluster.paths import Paths
from tests import figures
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.figures.table import Figure

LEVELS = ("contract", "cluster", "faults", "e2e")
#: More than the same tests do for CI: how many tenants an operator is restarted with, how many breaks of each change,
#: how many random lives, and every seeded bug. What the environment says goes before.
LARGER = {"HOA_FLEET": "500", "HOA_FAULTS_CRASH": "12", "HOA_FAULTS_N": "200", "HOA_FAULTS_BUGS": "all"}


def measured() -> Iterator[Figure]:
    """Run those tests, the ones of the local cluster included, and return what they recorded."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.jsonl"
        levels = [f"tests/{level}" for level in LEVELS if (REPOSITORY / "tests" / level).is_dir()]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "figures", *levels],
            cwd=REPOSITORY,
            env={**LARGER, **os.environ, **_local_cluster(), figures.FILE: str(path)},
            stdout=sys.stderr,
            check=False,
        )
        yield from figures.read(path)
    yield figures.record("tests of these figures failed", min(done.returncode, 1), 0)


def _local_cluster() -> dict[str, str]:
    """Return what leads the end-to-end tests to the running cluster and to its programs."""
    paths = Paths.from_env()
    folders = [str(tools.ensure(name, paths)) for name in ("kubernetes", "helm")]
    return {"KUBECONFIG": str(paths.kubeconfig), "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")])}

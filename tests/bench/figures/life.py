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
    from collections.abc import Iterable, Iterator

    from tests.bench.figures.table import Figure

LEVELS = ("contract", "cluster", "faults", "e2e")
#: More than the same tests do for CI: how many tenants an operator is restarted with, every break of each change,
#: how many random lives, and every seeded bug. What the environment says goes before.
LARGER = {"HOA_FLEET": "500", "HOA_FAULTS_CRASH": "all", "HOA_FAULTS_N": "400", "HOA_FAULTS_BUGS": "all"}

_CHANGES = (
    "create",
    "update",
    "newadmin",
    "suspend",
    "resume",
    "readonly",
    "dedicate",
    "share",
    "rotate",
    "rotateback",
)
_ENDS = ("drop", "retain", "lapse", "undelete", "upgrade")
#: Every figure that is due; a unit test compares them with what the tests record.
REQUIRED = (
    *("isolation: identity x route pairs tried", "isolation: leaks in those pairs"),
    "failed requests during 2 rotations",
    *(
        "failover after SIGKILL, until the successor leads",
        "failover after SIGKILL, until a waiting change is carried out",
    ),
    "tenants made Ready by one operator",
    *("API writes of a restart", "Postgres writes of a restart, its epoch left out"),
    *("restart until every tenant was looked at", "memory of the operator after a restart"),
    "API writes per tenant at an upgrade of the operator",
    "failed requests during operator upgrade from the previous build",
    *(
        f"crash everywhere, {change}: {what}"
        for change in (*_CHANGES, *_ENDS)
        for what in ("breaks run", "of them not well", "converged, p50", "converged, p99")
    ),
    "crash everywhere: transitions x faults run and passed",
    *(f"crash everywhere: converged, all transitions, {share}" for share in ("p50", "p99")),
    "frozen leaders woken late that harmed nothing",
    "random lives under faults that did not end as a fresh run",
    "random lives: orphans, things made twice, drops unproved, conditions blind",
    "seeded bugs that the tests catch",
    *(
        f"failed requests during {what}"
        for what in (
            "a rollout of the app",
            "a change of placement and back",
            "a rotation of credentials",
            "a rollout of the operator with another setting",
            "an upgrade of the platform and its rollback",
        )
    ),
)


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
        found = figures.read(path)
    yield from found
    yield figures.record("tests of these figures failed", min(done.returncode, 1), 0)
    missing = not_measured(found)
    yield figures.record("figures that were not measured", len(missing), 0, note="; ".join(missing))


def not_measured(found: Iterable[Figure]) -> list[str]:
    """Return the names of the figures that are due and were not recorded: a test that failed before, or was not run, measures
    nothing."""
    recorded = {figure.name for figure in found}
    return [name for name in REQUIRED if name not in recorded]


def _local_cluster() -> dict[str, str]:
    """Return what leads the end-to-end tests to the running cluster and to its programs."""
    paths = Paths.from_env()
    folders = [str(tools.ensure(name, paths)) for name in ("kubernetes", "helm")]
    return {"KUBECONFIG": str(paths.kubeconfig), "PATH": os.pathsep.join([*folders, os.environ.get("PATH", "")])}

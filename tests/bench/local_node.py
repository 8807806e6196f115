"""Tenants on the local node: kubelet, containers, volumes and all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError
from hack.testing.levels import local_cluster
from tests.bench.figures.table import Figure
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def tenants(folder: Path) -> Iterator[Figure]:
    """What `make figures` measures of provisioning, on the local cluster, which is brought up for it unless it runs."""
    path = folder / "local-node.json"
    command = [sys.executable, "-m", "tests.bench.figures", "--only", "provisioning", "--json", str(path)]
    try:
        with local_cluster(Paths.from_env(), int(os.environ.get("HOA_PORT") or 8080)):
            # It ends with 1 where a bar is missed, too.
            subprocess.run(command, cwd=REPOSITORY, stdout=sys.stderr, check=False)
    except ClusterError as error:
        yield Figure.missing("tenants on the local node", str(error))
        return
    if not path.exists():
        yield Figure.missing("tenants on the local node", "what was asked of it failed, as told above")
        return
    for each in json.loads(path.read_text()):
        yield Figure(**{**each, "name": f"on the local node, {each['name']}", "rounds": tuple(each["rounds"])})

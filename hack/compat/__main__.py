"""`python -m hack.compat`: refuse changes of the CRDs that would hurt objects of the previous build."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from hack.cluster.paths import REPOSITORY
from hack.cluster.shell import ClusterError
from hack.compat import crds, previous

ACCEPTED = "hack/compat/accepted.yaml"


def read(folder: Path) -> dict[str, Any]:
    """Return the CRDs of a folder by name."""
    found = (crd for path in sorted(folder.glob("*.yaml")) for crd in yaml.safe_load_all(path.read_text()) if crd)
    return {crd["metadata"]["name"]: crd for crd in found}


def findings(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what could hurt stored objects, each line with the CRD's name."""
    gone = [f"{name}: the CRD is gone" for name in before if name not in after]
    changed = [
        f"{name} {line}"
        for name in before
        if name in after
        for line in crds.incompatibilities(before[name], after[name])
    ]
    return [*gone, *changed]


def verdict(found: list[str], accepted: dict[str, str]) -> list[str]:
    """Return what is wrong: findings that nobody accepted, and entries that accept nothing."""
    wrong = [line for line in found if line not in accepted]
    return [
        *wrong,
        *(f"{line}: accepted in {ACCEPTED}, but no such change is left" for line in accepted if line not in found),
    ]


def main() -> int:
    """1 where something is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            before = read(previous.unpack(REPOSITORY, Path(folder), ["crds"]) / "crds")
        except ClusterError as error:
            print(f"{error}\n{error.hint}")
            return 1
    accepted = yaml.safe_load((REPOSITORY / ACCEPTED).read_text()) or {}
    wrong = verdict(findings(before, read(REPOSITORY / "crds")), accepted)
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

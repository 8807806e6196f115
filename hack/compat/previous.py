"""The build before this one, from which installations are upgraded: a commit, named by the file `previous-build`.

A release writes its own commit there as its last act, so that from then on every change is held to what was released.
"""

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

from hack.cluster.shell import ClusterError

FILE = "hack/compat/previous-build"


def commit(repository: Path) -> str:
    """Return the commit of the previous build."""
    return (repository / FILE).read_text().strip()


def unpack(repository: Path, folder: Path, parts: Sequence[str]) -> Path:
    """Write folders of the previous build's tree below `folder`, and return it; raises where the history is missing."""
    wanted = commit(repository)
    # The owner of a checkout may be another user than the one that tests it, as in CI.
    git = ["git", "-c", f"safe.directory={repository}", "-C", str(repository)]
    done = subprocess.run([*git, "archive", wanted, *parts], capture_output=True, check=False)
    if done.returncode:
        raise ClusterError(
            f"Commit {wanted}, the previous build ({FILE}), is not in this clone: {done.stderr.decode().strip()}",
            "Fetch the history: git fetch --unshallow",
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder

"""What an image of ours holds beyond its base, laid out and compiled as its Dockerfile does, so that it can be weighed and run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hack.cluster import images, lifecycle, python
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError
from tests.bench.lab import SERVER_CORE, on_core

if TYPE_CHECKING:
    from collections.abc import Mapping

MEBIBYTE: Final = 1024**2
#: Says, in the order in which they are begun, which modules a program imports that are not ours.
_LISTING: Final = """import sys
begun = []
class Finder:
    def find_spec(name, path=None, target=None):
        begun.append(name)
sys.meta_path.insert(0, Finder)
import {module}
for name in begun:
    if name in sys.modules and all(map(str.isidentifier, name.split("."))) and not name.startswith("hoa_"):
        print("import", name)
"""


@dataclass(frozen=True)
class Laid:
    """One program and its locked packages, and nothing else."""

    folder: Path
    packages: Path

    @property
    def python(self) -> str:
        """The interpreter that a virtual environment stands on."""
        return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of Python on the core of what is measured; it sees nothing installed but the packages."""
        return on_core(SERVER_CORE, [self.python, "-S", *arguments])

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with the image's variables."""
        path = os.pathsep.join([str(self.folder), str(self.packages)])
        own = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return {"PATH": os.environ["PATH"], **given, **own}

    @property
    def weight(self) -> float:
        """What its files hold, in MiB."""
        return weight(self.packages) + weight(self.folder)

    def heaviest(self, count: int = 4) -> str:
        """The largest packages and what they hold in MiB, in words."""
        weights = {entry.name: weight(entry) for entry in self.packages.iterdir()}
        first = sorted(weights, key=lambda name: -weights[name])[:count]
        return ", ".join(f"{name} {weights[name]:.0f}" for name in first)

    def other(self, folder: Path) -> Laid:
        """Return another version of the program, compiled, with the same packages."""
        subprocess.run([self.python, "-m", "compileall", "-q", str(folder)], check=True)
        return replace(self, folder=folder)

    def libraries_of(self, module: str) -> str:
        """Write a module that imports what another one imports and is not ours, in the same order; return its name."""
        listing = [self.python, "-S", "-c", _LISTING.format(module=module)]
        lines = subprocess.run(listing, env=self.environment({}), check=True, capture_output=True, text=True).stdout
        assert lines.count("\n") > 100, lines
        name = f"libraries_of_{module.replace('.', '_')}"
        (self.folder / f"{name}.py").write_text(lines)
        subprocess.run([self.python, "-m", "py_compile", self.folder / f"{name}.py"], check=True)
        return name


def lay_out(name: str, folder: Path) -> Laid:
    """Put an image's program into a folder, its packages into the cache, and compile them."""
    paths = Paths.from_env()
    image = next(found for found in images.application_images(paths) if found.name == name)
    options = re.findall(r"^RUN python3 -m compileall (.*) \S+$", image.dockerfile.read_text(), re.MULTILINE)
    assert len(options) == 2, f"{image.dockerfile} compiles packages and program"
    packages = python.ensure_site(paths, f"bench-{name}-{zlib.crc32(options[0].encode()):08x}", image.packages)
    program = image.inputs[0]
    shutil.copytree(program, folder / program.name, ignore=shutil.ignore_patterns("__pycache__"))
    laid = Laid(folder, packages)
    for place, given in zip((packages, folder), options, strict=True):
        # What is compiled already is left alone. Files that are no modules, such as templates of one, are passed over.
        command = [laid.python, "-m", "compileall", *shlex.split(given), str(place)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    return laid


def weight(path: Path) -> float:
    """Return what a file, or all files below a folder, hold, in MiB."""
    files = [path] if path.is_file() else (found for found in path.rglob("*") if found.is_file())
    return sum(file.lstat().st_size for file in files) / MEBIBYTE


def built(name: str) -> tuple[float, float] | str:
    """Return the image as the local cluster builds it, in MiB unpacked and packed as a registry keeps it; or why there is none."""
    try:
        with lifecycle.built(Paths.from_env(), name) as archive, archive.open("rb") as file:
            squeeze, packed = zlib.compressobj(6), 0
            while chunk := file.read(4 * MEBIBYTE):
                packed += len(squeeze.compress(chunk))
            return archive.stat().st_size / MEBIBYTE, (packed + len(squeeze.flush())) / MEBIBYTE
    except ClusterError as error:
        return str(error)

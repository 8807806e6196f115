"""Which images the local cluster needs, and what each of them follows from."""

import hashlib
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hack.cluster import debian, python, tools
from hack.cluster.paths import Paths

PYTHON = "3.11"
"""Python of both bases: Debian bookworm's own and the official python:3.11 image's."""

_OLDEST_GLIBC, _NEWEST_GLIBC = 5, 36


@dataclass(frozen=True)
class Image:
    """One image: its Dockerfile, the files it is made of, and what must be made on this machine first.

    `inputs` are files or folders of the repository whose content decides whether a built image is still right.
    `context` is the build context; None means the repository root. `packages` names the lock files of the Python
    packages that the Dockerfile's stage `packages` installs.
    """

    name: str
    dockerfile: Path
    inputs: tuple[Path, ...]
    context: Callable[[Paths], Path] | None = None
    packages: tuple[Path, ...] = ()
    based: bool = True
    key: str = field(default="")

    @property
    def reference(self) -> str:
        """The name that manifests and the chart use."""
        return f"hoa-connect/{self.name}:dev"


def application_images(paths: Paths) -> list[Image]:
    """What is ours: the operator, the app, and the mail catcher of the local cluster."""
    root = paths.repository
    locks = root / "requirements"
    catcher = root / "hack" / "mailcatcher"
    return [
        Image(
            "operator",
            root / "operator" / "Dockerfile",
            (root / "operator" / "hoa_operator", root / "docs" / "operations"),
            packages=(locks / "operator.txt",),
        ),
        Image(
            "app",
            root / "app" / "Dockerfile",
            (root / "app" / "hoa_app",),
            packages=(locks / "app.txt", locks / "assets.txt"),
        ),
        Image("mailcatcher", catcher / "Dockerfile", (catcher,), packages=(catcher / "requirements.txt",)),
    ]


def postgres_image(paths: Paths) -> Image:
    """Debian's Postgres, for nodes that reach no registry."""
    folder = paths.repository / "hack" / "images" / "postgres"
    return Image("postgres", folder / "Dockerfile", (folder,), context=lambda _: folder)


def pause_image(paths: Paths) -> Image:
    """What holds a pod's namespaces open."""
    dockerfile = paths.repository / "hack" / "images" / "pause" / "Dockerfile"
    return Image("pause", dockerfile, (), context=_pause_context, based=False)


def program_images(paths: Paths, names: tuple[str, ...]) -> list[Image]:
    """Images of one static program each, from the tools of the same name."""
    dockerfile = paths.repository / "hack" / "images" / "static" / "Dockerfile"
    return [Image(name, dockerfile, (), context=partial(tools.ensure, name), based=False, key=name) for name in names]


def digest(image: Image, base: str, paths: Paths) -> str:
    """The key of a built image: the content of all it is made of."""
    key = hashlib.sha256(base.encode() if image.based else b"")
    for file in (image.dockerfile, *image.packages, *_files(image.inputs)):
        key.update(str(file.relative_to(paths.repository)).encode() + b"\0" + file.read_bytes() + b"\0")
    if image.key and image.context is not None:
        key.update(image.context(paths).name.encode())
    return key.hexdigest()[:16]


def packages_context(image: Image, paths: Paths) -> Mapping[str, Path]:
    """The named build context that stands in for the stage `packages`."""
    if not image.packages:
        return {}
    site = python.ensure_site(paths, f"image-{image.name}", image.packages, _for_images())
    return {"packages": site.parent}


def _pause_context(paths: Paths) -> Path:
    """A folder with the pause program and nothing else; where the package puts it has the whole system's programs."""
    folder = paths.cache / "pause"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(debian.program("catatonit"), folder / "catatonit")
    return folder


def _files(inputs: tuple[Path, ...]) -> list[Path]:
    found: list[Path] = []
    for path in inputs:
        found += [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if _counts(file)]
    return found


def _counts(file: Path) -> bool:
    return file.is_file() and "__pycache__" not in file.parts


def _for_images() -> list[str]:
    """Options that make pip choose wheels for the images' Python, whatever Python this machine has."""
    machine = platform.machine()
    options = ["--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON]
    for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none"):
        options += ["--abi", abi]
    for glibc in range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1):
        options += ["--platform", f"manylinux_2_{glibc}_{machine}"]
    return [*options, "--platform", f"manylinux2014_{machine}"]

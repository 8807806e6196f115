"""Images without a Docker engine: buildah on a base made by debootstrap, in a storage of our own in the cache."""

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hack.cluster import debian, images
from hack.cluster.images import Image
from hack.cluster.paths import Paths
from hack.cluster.shell import Word, run, step, succeeds

SUITE = "bookworm"
_INCLUDE = "ca-certificates,python3,tzdata"
_UNNEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)
_BASE_RECIPE = f"debootstrap 1 {SUITE} {_INCLUDE} {' '.join(_UNNEEDED)}"


class Buildah:
    """Builds images and writes them to archives; what is built already is not built again."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._home = paths.cache / "buildah"
        self._log = paths.cache / "logs" / "buildah.log"

    @property
    def base_key(self) -> str:
        """What the common base follows from."""
        return hashlib.sha256(f"{_BASE_RECIPE} {platform.machine()}".encode()).hexdigest()[:16]

    def ensure(self, image: Image) -> str:
        """Build the image where its inputs have changed; returns its digest."""
        digest = images.digest(image, self.base_key, self._paths)
        if not self._has(self._local(image.name, digest)):
            base = self._ensure_base() if image.based else ""
            contexts = images.packages_context(image, self._paths)
            context = image.context(self._paths) if image.context else self._paths.repository
            with step(f"building the image {image.reference}"):
                argv: list[Word] = ["build", "--layers", "--isolation=chroot", "--network=host", "--pull=never"]
                argv += [f"--build-arg=BASE={base}"] if base else []
                argv += [f"--build-context={name}={folder}" for name, folder in contexts.items()]
                argv += ["--file", image.dockerfile]
                self._buildah([*argv, "--tag", self._local(image.name, digest), context])
            self._forget_older(image.name, digest)
        return digest

    @contextmanager
    def archive(self, image: Image, digest: str) -> Iterator[Path]:
        """The image as a docker-archive file, for as long as the caller needs it."""
        with tempfile.TemporaryDirectory(dir=self._paths.scratch) as folder:
            file = Path(folder) / "image.tar"
            self._buildah(["push", self._local(image.name, digest), f"docker-archive:{file}:{image.reference}"])
            yield file

    def _ensure_base(self) -> str:
        name = self._local("base", self.base_key)
        if self._has(name):
            return name
        with tempfile.TemporaryDirectory(dir=self._paths.scratch) as folder:
            root = Path(folder) / "root"
            with step("installing the images' base, a minimal Debian (once on this machine, about 2 min)"):
                argv: list[Word] = [debian.program("debootstrap"), "--variant=minbase", f"--include={_INCLUDE}"]
                run([*argv, SUITE, root, debian.mirror()], log=self._log)
                for path in _UNNEEDED:
                    shutil.rmtree(root / path, ignore_errors=True)
                (root / "usr" / "bin" / "python").symlink_to("python3")
                (Path(folder) / "Dockerfile").write_text('FROM scratch\nCOPY root /\nCMD ["sh"]\n')
                self._buildah(["build", "--isolation=chroot", "--tag", name, folder])
        return name

    def _has(self, name: str) -> bool:
        with tempfile.TemporaryDirectory(dir=self._paths.scratch) as scratch:
            return succeeds(self._command(["inspect", "--type=image", name], Path(scratch)))

    def _forget_older(self, name: str, digest: str) -> None:
        """Keep one build of each image: yesterday's is never wanted again."""
        # A build that was killed leaves its container, which holds on to images.
        self._buildah(["rm", "--all"])
        listed = json.loads(self._buildah(["images", "--json", "--filter", f"reference=hoa-connect/{name}"]) or "[]")
        for tag in {tag for item in listed for tag in item.get("names") or ()}:
            if tag.startswith(f"localhost/hoa-connect/{name}:") and not tag.endswith(f":{digest}"):
                self._buildah(["rmi", tag])
        self._buildah(["rmi", "--prune"])

    def _local(self, name: str, digest: str) -> str:
        return f"localhost/hoa-connect/{name}:{digest}"

    def _buildah(self, arguments: Sequence[Word]) -> str:
        # What an interrupted run believed to be mounted must not mislead the next one.
        with tempfile.TemporaryDirectory(dir=self._paths.scratch) as scratch:
            return run(self._command(arguments, Path(scratch)), log=self._log)

    def _command(self, arguments: Sequence[Word], scratch: Path) -> list[Word]:
        """In a mount namespace of its own, so that buildah's mounts never outlive it on this machine."""
        verb, *rest = arguments
        head: list[Word] = ["unshare", "--mount", debian.program("buildah"), f"--root={self._home / 'storage'}"]
        head += [f"--runroot={scratch}", "--storage-driver=overlay", verb]
        if verb in ("build", "push"):
            head.append(f"--signature-policy={self._policy()}")
        return [*head, *rest]

    def _policy(self) -> Path:
        """Which signatures are asked for: none, these are our own builds."""
        self._home.mkdir(parents=True, exist_ok=True)
        file = self._home / "policy.json"
        file.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        return file

"""What is built again, and what is not: the keys of the caches follow from their inputs and from nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from hack.cluster import golang, images, tools
from hack.cluster.kind import NODE_IMAGE, configuration
from hack.cluster.paths import REPOSITORY, Paths

GO = golang.Go(Path("/usr/bin/go"), "go1.26.6")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A checkout with the tools' pins and one small image."""
    shutil.copytree(REPOSITORY / "hack" / "tools", tmp_path / "hack" / "tools")
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.py").write_text("print('hello')\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return Paths(tmp_path, tmp_path / "cache", tmp_path / "state")


@pytest.fixture
def image(paths: Paths) -> images.Image:
    return images.Image("thing", paths.repository / "Dockerfile", (paths.repository / "code",))


def test_a_tools_key_follows_its_pins_and_the_toolchain(paths: Paths) -> None:
    tool = tools.TOOLS["helm"]
    before = tools.digest(tool, GO, paths)
    assert tools.digest(tool, GO, paths) == before
    assert tools.digest(tool, replace(GO, version="go1.27.0"), paths) != before
    with (paths.repository / "hack" / "tools" / "helm" / "go.sum").open("a") as file:
        file.write("\n")
    assert tools.digest(tool, GO, paths) != before


def test_every_tool_has_its_pins() -> None:
    for tool in tools.TOOLS.values():
        pins = (REPOSITORY / "hack" / "tools" / tool.folder / "go.mod").read_text()
        assert all(package in pins for package in tool.packages)


def test_the_pinned_toolchain_can_build_every_tool() -> None:
    lines = [
        line.removeprefix("go ")
        for file in (REPOSITORY / "hack" / "tools").glob("*/go.mod")
        for line in file.read_text().splitlines()
        if line.startswith("go ")
    ]
    newest = max(tuple(map(int, line.split("."))) for line in lines)
    assert newest <= golang.MINIMUM
    assert golang.pinned_version(Paths.from_env()).split(".") >= [str(part) for part in golang.MINIMUM]


def test_the_kubernetes_version_is_the_pinned_one() -> None:
    pins = (REPOSITORY / "hack" / "tools" / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes {tools.KUBERNETES_VERSION}" in pins


def test_an_images_key_follows_its_content(paths: Paths, image: images.Image) -> None:
    before = images.digest(image, "base", paths)
    assert images.digest(image, "another base", paths) != before
    (paths.repository / "code" / "main.py").write_text("print('goodbye')\n")
    assert images.digest(image, "base", paths) != before


def test_compiled_python_is_no_content(paths: Paths, image: images.Image) -> None:
    before = images.digest(image, "base", paths)
    (paths.repository / "code" / "__pycache__").mkdir()
    (paths.repository / "code" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"\0")
    assert images.digest(image, "base", paths) == before


def test_a_file_that_moved_is_another_content(paths: Paths, image: images.Image) -> None:
    before = images.digest(image, "base", paths)
    (paths.repository / "code" / "main.py").rename(paths.repository / "code" / "other.py")
    assert images.digest(image, "base", paths) != before


def test_kind_opens_one_port_of_loopback_and_keeps_the_audit_log() -> None:
    nodes = configuration(9000, Path("/srv/audit"))["nodes"]
    assert isinstance(nodes, list)
    assert len(nodes) == 1
    assert nodes[0]["image"] == NODE_IMAGE
    assert nodes[0]["extraPortMappings"] == [{"containerPort": 80, "hostPort": 9000, "listenAddress": "127.0.0.1"}]
    assert nodes[0]["extraMounts"] == [{"hostPath": "/srv/audit", "containerPath": "/var/log/hoa-connect"}]


def test_folders_follow_the_xdg_base_directories() -> None:
    paths = Paths.from_env({"HOME": "/home/ada", "XDG_CACHE_HOME": "/srv/cache"})
    assert paths.cache == Path("/srv/cache/hoa-connect")
    assert paths.state == Path("/home/ada/.local/state/hoa-connect/cluster")

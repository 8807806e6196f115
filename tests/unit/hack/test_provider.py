"""Which kind of cluster a command speaks of, and what it does with one that is half made."""

import os
from pathlib import Path

import pytest

from hack.cluster import lifecycle, provider, tools
from hack.cluster.kind import KindCluster
from hack.cluster.node.layout import Layout
from hack.cluster.node.sandbox import Sandbox
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError

DOCKER = """#!/bin/sh
# An engine with at most one container, whose id is the content of a file.
[ -e "$ENGINE/stopped" ] && exit 1
case "$*" in
version*) ;;
*State.Running*) [ -e "$ENGINE/container" ] && echo true ;;
inspect*) cat "$ENGINE/container" ;;
port*) echo 127.0.0.1:8080 ;;
*) exit 64 ;;
esac
"""
KIND = """#!/bin/sh
echo "$1" >> "$ENGINE/kind-calls"
case "$1" in
create) date +%s%N > "$ENGINE/container"; [ ! -e "$ENGINE/dies" ] ;;
delete) rm "$ENGINE/container" ;;
esac
"""


class Engine:
    """A Docker engine and a kind that only keep count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, mark: str, on: bool = True) -> None:
        """`stopped`: Docker does not answer. `dies`: kind ends before its work is done."""
        (self._folder / mark).touch() if on else (self._folder / mark).unlink()

    @property
    def calls(self) -> list[str]:
        """What kind was asked to do so far."""
        file = self._folder / "kind-calls"
        return file.read_text().split() if file.is_file() else []


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path, tmp_path / "cache", tmp_path / "state" / "cluster")


@pytest.fixture(autouse=True)
def no_native_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever runs on the machine of the tests is none of their business."""
    monkeypatch.setattr(Sandbox, "running", False)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    for name, text in (("docker", DOCKER), ("kind", KIND)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("ENGINE", str(tmp_path))
    monkeypatch.setattr(tools, "ensure", lambda *_: tmp_path)
    return Engine(tmp_path)


def chosen(paths: Paths) -> str:
    return provider.choose(paths)[0].name


def test_without_a_cluster_docker_decides(paths: Paths, engine: Engine) -> None:
    assert chosen(paths) == "kind"
    engine.set("stopped")
    assert chosen(paths) == "native"


def test_a_native_node_stays_one_when_docker_comes(paths: Paths, engine: Engine) -> None:
    Layout.of(paths).config.mkdir(parents=True)
    assert chosen(paths) == "native"
    engine.set("stopped")
    assert chosen(paths) == "native"


def test_down_without_docker_removes_nothing_of_a_kind_cluster(paths: Paths, engine: Engine) -> None:
    KindCluster(paths).up(8080)
    engine.set("stopped")
    with pytest.raises(ClusterError, match="Docker does not answer; nothing was changed") as refused:
        lifecycle.down(paths)
    assert "Start Docker" in refused.value.hint
    assert paths.state.is_dir()


def test_down_forgets_which_kind_it_was(paths: Paths, engine: Engine) -> None:
    KindCluster(paths).up(8080)
    lifecycle.down(paths)
    assert engine.calls == ["create", "export", "delete"]
    engine.set("stopped")
    assert chosen(paths) == "native"


def test_a_kind_cluster_that_is_whole_is_kept(paths: Paths, engine: Engine) -> None:
    KindCluster(paths).up(8080)
    KindCluster(paths).up(8080)
    assert engine.calls == ["create", "export", "export"]


def test_a_kind_cluster_cut_short_is_made_anew(paths: Paths, engine: Engine) -> None:
    engine.set("dies")
    with pytest.raises(ClusterError):
        KindCluster(paths).up(8080)
    engine.set("dies", on=False)
    KindCluster(paths).up(8080)
    KindCluster(paths).up(8080)
    assert engine.calls == ["create", "delete", "create", "export", "export"]


def test_the_mark_of_an_earlier_cluster_says_nothing_of_a_later_one(paths: Paths, engine: Engine) -> None:
    KindCluster(paths).up(8080)
    KindCluster(paths).down()
    engine.set("dies")
    with pytest.raises(ClusterError):
        KindCluster(paths).up(8080)
    engine.set("dies", on=False)
    KindCluster(paths).up(8080)
    assert engine.calls[-3:] == ["delete", "create", "export"]

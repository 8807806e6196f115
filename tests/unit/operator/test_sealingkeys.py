"""A Secret of the sealing keys that was deleted comes back from the operator's mount: created, never written over."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from hoa_operator import keyring
from hoa_operator.apply import Doors
from hoa_operator.kinds import SECRET, Kind
from hoa_operator.kube import Conflict
from hoa_operator.sealing import Sealer
from hoa_operator.sealingkeys import SealingKeysReconciler
from tests.unit.operator.samples import settings

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
NAME = "hoa-connect-sealing-keys"
NOW = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
NEWER, OLDER = Fernet.generate_key().decode(), Fernet.generate_key().decode()


class Server:
    """One namespace's Secret and Events. `meanwhile` is put there by somebody between a look and a creation."""

    def __init__(self, live: Json | None = None, meanwhile: Json | None = None) -> None:
        self.live = live
        self.meanwhile = meanwhile
        self.events: list[Json] = []
        self.asked = 0

    async def get(self, kind: Kind, name: str) -> Json | None:
        assert (kind, name) == (SECRET, NAME)
        self.asked += 1
        return self.live

    async def create(self, manifest: Json) -> Json:
        if manifest["kind"] == "Event":
            self.events.append(manifest)
            return manifest
        self.live = self.live or self.meanwhile
        if self.live is not None:
            raise Conflict("already exists")
        self.live = stored(manifest)
        return self.live


def stored(manifest: Json) -> Json:
    given = {"uid": "one", "resourceVersion": "1", "creationTimestamp": "2031-01-02T03:04:05Z"}
    return {**manifest, "metadata": {**manifest["metadata"], **given}}


def somebodys() -> Json:
    keys = base64.b64encode(Fernet.generate_key()).decode()
    return stored({"metadata": {"name": NAME, "namespace": "hoa-connect"}, "data": {"keys": keys}})


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{NEWER},{OLDER}\n")
    return path


def looking_after(server: Server, mount: Path, secret: str = NAME) -> SealingKeysReconciler:
    sources: Any = SimpleNamespace(settings=settings(HOA_SEALING_SECRET=secret), sealer=Sealer(mount))
    kube: Any = server
    return SealingKeysReconciler(Doors(sources, kube, 1, lambda _: None), "operator-0", lambda _: None, lambda: NOW)


async def test_a_deleted_secret_comes_back_with_all_keys_that_are_mounted(mount: Path) -> None:
    server = Server()
    outcome = await looking_after(server, mount)("")
    assert server.live is not None
    assert base64.b64decode(server.live["data"]["keys"]).decode() == f"{NEWER},{OLDER}"
    assert server.live["type"] == "Opaque"
    assert server.live["metadata"]["labels"] == {
        "app.kubernetes.io/name": "hoa-connect",
        "app.kubernetes.io/instance": settings().release,
        "app.kubernetes.io/component": "platform",
        "app.kubernetes.io/managed-by": "Helm",
    }, "as the chart's setup makes it: it stays the chart's"
    assert (outcome.wait, outcome.failed) == (keyring.SOON, None)


async def test_it_is_said_with_what_to_do_and_without_the_keys(mount: Path) -> None:
    server = Server()
    with capture_logs() as said:
        await looking_after(server, mount)("")
    (event,) = server.events
    assert (event["type"], event["reason"]) == ("Warning", "SealingKeysMadeAgain")
    assert event["involvedObject"]["name"] == NAME
    assert "check that they are yours" in event["message"]
    assert "copy" in event["message"]
    assert [line["log_level"] for line in said] == ["warning"]
    for text in (NEWER, OLDER, base64.b64encode(NEWER.encode()).decode()):
        assert text not in f"{said}{server.events}"


async def test_what_somebody_puts_there_meanwhile_is_never_overwritten(mount: Path) -> None:
    theirs = somebodys()
    server = Server(meanwhile=theirs)
    with pytest.raises(Conflict):
        await looking_after(server, mount)("")
    assert server.live == theirs
    assert server.events == []
    assert (await looking_after(server, mount)("")).failed is None
    assert server.live == theirs


async def test_keys_that_cannot_be_read_make_no_secret(mount: Path) -> None:
    server = Server()
    look = looking_after(server, mount)
    await asyncio.to_thread(mount.unlink)
    outcome = await look("")
    assert (outcome.wait, outcome.failed) == (keyring.SOON, "SealingKeysUnreadable")
    assert server.live is None


async def test_a_secret_of_somebody_elses_is_left_to_them(mount: Path) -> None:
    server = Server()
    outcome = await looking_after(server, mount, secret="")("")
    assert (outcome.wait, server.asked, server.live, server.events) == (None, 0, None, [])

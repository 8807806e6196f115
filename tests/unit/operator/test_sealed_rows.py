"""Rows that no sealing key opens: sealed from the tenant's Secret where that is surely right, else said, and waited for."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from hoa_operator import desire, names
from hoa_operator.apply import Doors
from hoa_operator.cache import Cache
from hoa_operator.errors import OperatorError, WorldError
from hoa_operator.kinds import SECRET, SERVER
from hoa_operator.sealing import Sealer
from hoa_operator.sealingkeys import SealingKeysReconciler
from tests.faults.words import lacks_words
from tests.unit.operator.samples import CREDENTIALS, NOW, live, placement, served, server_body, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hoa_operator.registry_model import RegistryRow

Json = dict[str, Any]
NEW, OLD, GONE = (Fernet.generate_key() for _ in range(3))


class Town:
    """A namespace, a registry of one row that a lost key sealed, and a server that knows one password."""

    def __init__(self, folder: Path) -> None:
        self.row = replace(sealed_by(GONE), schema_revision="0002")
        self.password = CREDENTIALS.app_password
        self.broken: OperatorError | None = None
        self.events: list[Json] = []
        self.unopened: list[int] = []
        self.cache = Cache()
        self.cache.observe(SERVER, server_body())
        (folder / "keys").write_bytes(NEW + b"," + OLD)
        sources: Any = SimpleNamespace(
            settings=settings(HOA_SEALING_SECRET="sealing"), sealer=Sealer(folder / "keys"), cache=self.cache,
            registry=self, fleet=self,
        )  # fmt: skip
        kube: Any = self
        self.look = SealingKeysReconciler(
            Doors(sources, kube, 7, lambda _: None), "operator-0", self.unopened.append, lambda: NOW
        )

    def keep_secret(self, **changes: Any) -> None:
        secret = live(desire.credentials_secret(served(), replace(CREDENTIALS, **changes)))
        self.cache.observe(SECRET, secret)

    # The API server

    async def get(self, *_: object) -> Json:
        said = {
            names.ANNOTATION_SEALING_STEP: "Promoted",
            names.ANNOTATION_SEALING_SINCE: "2026-11-23T11:59:59+00:00",
            names.ANNOTATION_ROTATED_AT: "2026-11-23T11:59:59+00:00",
        }
        keys = base64.b64encode(NEW + b"," + OLD).decode()
        metadata = {"name": "sealing", "namespace": "hoa-connect", "uid": "s", "resourceVersion": "1"}
        metadata |= {"creationTimestamp": "2026-11-01T00:00:00Z"}
        return {"metadata": {**metadata, "annotations": said}, "data": {"keys": keys}}

    async def create(self, manifest: Json) -> Json:
        self.events.append(manifest)
        return manifest

    # The registry

    async def rows(self) -> list[RegistryRow]:
        return [self.row]

    async def placement(self, _: object) -> object:
        return placement()

    async def reseal(self, row: RegistryRow, tokens: tuple[bytes, bytes], epoch: int) -> bool:
        assert (row, epoch) == (self.row, 7)
        self.row = replace(row, sealed_password=tokens[0], sealed_signing_keys=tokens[1])
        return True

    # The server

    @asynccontextmanager
    async def door(self, _: object) -> AsyncIterator[Town]:
        if self.broken is not None:
            raise self.broken
        yield self

    async def verify_login(self, tenant_id: object, login: str, password: str) -> bool:
        assert (tenant_id, login) == (self.row.tenant_id, "app")
        return password == self.password

    def opened(self) -> tuple[str, str] | None:
        """Return what the new key opens of the row."""
        tokens = (self.row.sealed_password, self.row.sealed_signing_keys)
        try:
            password, keys = (Fernet(NEW).decrypt(token or b"").decode() for token in tokens)
        except Exception:
            return None
        return password, keys


def sealed_by(key: bytes) -> RegistryRow:
    row = served().row
    assert row is not None
    fernet = Fernet(key)
    password, keys = CREDENTIALS.app_password.encode(), CREDENTIALS.signing_keys.encode()
    return replace(row, sealed_password=fernet.encrypt(password), sealed_signing_keys=fernet.encrypt(keys))


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


async def test_a_secret_that_lets_in_is_sealed(town: Town) -> None:
    town.keep_secret()
    await town.look("")
    assert town.opened() == (CREDENTIALS.app_password, CREDENTIALS.signing_keys)
    assert (town.unopened, town.events) == ([0], [])


async def test_what_a_known_key_opens_asks_nobody(town: Town) -> None:
    town.row = sealed_by(OLD)
    await town.look("")
    assert town.opened() == (CREDENTIALS.app_password, CREDENTIALS.signing_keys)
    assert town.unopened == [0]


@pytest.mark.parametrize("why", ["no Secret", "another's", "another password", "another login", "no server"])
async def test_what_is_not_sure_is_left_and_said(town: Town, why: str) -> None:
    if why != "no Secret":
        town.keep_secret(
            **({"app_password": "by-hand"} if why == "another password" else {}),
            **({"login": "app_b"} if why == "another login" else {}),
        )
    if why == "another's":
        town.row = replace(town.row, uid=placement().tenant_id.__class__(int=5))
    if why == "no server":
        town.broken = WorldError("ServerUnreachable", "the connection was lost; check that the server runs")
    before = town.row
    outcome = await town.look("")
    assert (town.row, town.unopened) == (before, [1])
    assert outcome.wait is not None, "the rotation goes on by itself once that is mended"
    (event,) = town.events
    message = event.get("note") or event["message"]
    assert (event["type"], event["reason"]) == ("Warning", "SealedRowsUnreadable")
    assert "hoa-connect/seabreeze" in message
    assert lacks_words(message) == ""
    await town.look("")
    assert len(town.events) == 1, "told once"


async def test_it_is_over_when_the_row_is_mended(town: Town) -> None:
    await town.look("")
    town.keep_secret()
    await town.look("")
    assert town.unopened == [1, 0]

"""A sealing key that this pod has not seen yet costs nobody anything: what was known before serves on."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet

from hoa_app.metrics import Metrics
from hoa_app.settings import Settings
from hoa_app.tenancy.registry import Registry
from hoa_app.tenancy.tenant import SIGNS_AFTER

if TYPE_CHECKING:
    from pathlib import Path

TENANT = UUID("2b3c4d5e-0000-4000-8000-00000000000a")
KEYS = json.dumps([{"kid": "k1", "k": "A" * 43, "createdAt": "2026-01-01T00:00:00Z"}])


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(Fernet.generate_key())
    return path


@pytest.fixture
def registry(keys_file: Path, tmp_path: Path) -> Registry:
    environment = {
        "HOA_REGISTRY_DIR": str(tmp_path),
        "HOA_SEALING_KEYS_FILE": str(keys_file),
        "HOA_STORAGE_URL": f"file://{tmp_path}",
        "HOA_BASE_DOMAIN": "localhost",
        "HOA_APP_VERSION": "test",
    }
    return Registry(Settings.from_env(environment), Metrics())


def row(key: bytes, **changes: Any) -> dict[str, Any]:
    sealer = Fernet(key)
    return {
        "tenant_id": TENANT,
        "slug": "seabreeze",
        "hosts": ["seabreeze.localhost"],
        "display_name": "Seabreeze",
        "state": "Active",
        "placement": "Shared",
        "tier": "small",
        "limits": {},
        "branding": {},
        "database": {"host": "db", "port": 5432, "dbname": "d", "username": "d_app", "sslmode": "require"},
        "sealed_password": sealer.encrypt(b"secret"),
        "sealed_signing_keys": sealer.encrypt(KEYS.encode()),
        "schema_revision": "0001",
        **changes,
    }


def take(registry: Registry, found: dict[str, Any]) -> None:
    registry._apply({TENANT: found}, gone=set())


def test_a_row_sealed_with_an_unknown_key_serves_on_with_what_was_known(registry: Registry, keys_file: Path) -> None:
    take(registry, row(keys_file.read_bytes()))
    before = registry.find("seabreeze.localhost")
    assert before is not None
    assert before.database.password == "secret"
    fresh = Fernet.generate_key()
    later = row(fresh, state="Suspended", display_name="Renamed")
    take(registry, later)
    assert registry.find("seabreeze.localhost") == replace(before, state="Suspended", display_name="Renamed")
    keys_file.write_bytes(fresh + b"," + keys_file.read_bytes())
    later["sealed_password"] = Fernet(fresh).encrypt(b"another")
    take(registry, later)
    found = registry.get(TENANT)
    assert found is not None
    assert found.database.password == "another"


def test_the_same_row_is_read_again_until_its_key_is_there(registry: Registry, keys_file: Path) -> None:
    fresh = Fernet.generate_key()
    found = row(fresh)
    take(registry, found)
    assert registry.get(TENANT) is None, "nothing is known that could serve"
    keys_file.write_bytes(fresh)
    take(registry, found)
    assert registry.get(TENANT) is not None
    assert registry._unread == set()


def test_a_row_whose_reading_broke_is_read_again(registry: Registry, keys_file: Path) -> None:
    fresh = Fernet.generate_key()
    found = row(fresh)
    keys_file.unlink()
    with pytest.raises(OSError, match="No such file"):
        take(registry, found)
    keys_file.write_bytes(fresh)
    take(registry, found)
    assert registry.get(TENANT) is not None


def test_another_login_cannot_do_with_the_password_before(registry: Registry, keys_file: Path) -> None:
    take(registry, row(keys_file.read_bytes()))
    database = {"host": "db", "port": 5432, "dbname": "d", "username": "d_app_b", "sslmode": "require"}
    take(registry, row(Fernet.generate_key(), database=database))
    assert registry.get(TENANT) is None


def ring(*made: tuple[str, str]) -> bytes:
    return json.dumps([{"kid": kid, "k": "A" * 43, "createdAt": at} for kid, at in made]).encode()


def test_a_new_key_signs_when_every_pod_has_had_time_to_learn_of_it(registry: Registry, keys_file: Path) -> None:
    take(registry, row(keys_file.read_bytes()))
    # The operator made it long ago, and then could not write the row.
    keys = ring(("k2", "2026-02-01T00:00:00Z"), ("k1", "2026-01-01T00:00:00Z"))
    sealed = Fernet(keys_file.read_bytes()).encrypt(keys)
    take(registry, row(keys_file.read_bytes(), sealed_signing_keys=sealed))
    learnt = time.time()
    found = registry.get(TENANT)
    assert found is not None
    assert found.keys.signing.kid == "k1"
    assert found.keys.signing_at(learnt + SIGNS_AFTER).kid == "k2"
    take(registry, row(keys_file.read_bytes(), sealed_signing_keys=sealed, display_name="Renamed"))
    later = registry.get(TENANT)
    assert later is not None
    assert later.keys == found.keys, "another change of the row does not begin it anew"


def test_a_pod_that_starts_goes_by_when_the_key_was_made(registry: Registry, keys_file: Path) -> None:
    keys = ring(("k2", "2026-02-01T00:00:00Z"), ("k1", "2026-01-01T00:00:00Z"))
    take(registry, row(keys_file.read_bytes(), sealed_signing_keys=Fernet(keys_file.read_bytes()).encrypt(keys)))
    found = registry.get(TENANT)
    assert found is not None
    made = found.keys.keys[0].since
    assert [found.keys.signing_at(made + later).kid for later in (SIGNS_AFTER - 1, SIGNS_AFTER)] == ["k1", "k2"]


def test_the_only_key_signs_at_once(registry: Registry, keys_file: Path) -> None:
    take(registry, row(keys_file.read_bytes()))
    found = registry.get(TENANT)
    assert found is not None
    assert found.keys.signing_at(found.keys.keys[0].since).kid == "k1"

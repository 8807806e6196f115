"""Sealing: what goes in comes out, keys rotate under a running operator, and an unchanged secret keeps its token."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from hoa_operator.errors import UserError, WorldError
from hoa_operator.sealing import Sealer, generate_signing_key
from hoa_operator.signing import encode_signing_keys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(Fernet.generate_key())
    return path


def test_sealed_and_back(keys: Path) -> None:
    sealer = Sealer.from_file(keys)
    sealed = sealer.seal(b"secret")
    assert b"secret" not in sealed
    assert sealer.unseal(sealed) == b"secret"


def test_a_rotation_is_followed(keys: Path) -> None:
    sealer = Sealer.from_file(keys)
    old_key, old = keys.read_bytes(), sealer.seal(b"secret")
    new_key = Fernet.generate_key()
    keys.write_bytes(new_key + b",\n" + old_key + b"\n")
    assert sealer.unseal(old) == b"secret"
    fresh = sealer.seal(b"secret")
    assert Fernet(new_key).decrypt(fresh) == b"secret", "the newest key seals"
    keys.write_bytes(new_key)
    assert sealer.unseal(fresh) == b"secret"
    with pytest.raises(UserError) as caught:
        sealer.unseal(old)
    assert caught.value.reason == "UnsealFailed"


def test_an_unchanged_secret_keeps_its_token(keys: Path) -> None:
    sealer = Sealer.from_file(keys)
    stored = sealer.seal(b"secret")
    assert sealer.keep_or_seal(stored, b"secret") == stored
    assert sealer.unseal(sealer.keep_or_seal(stored, b"other")) == b"other"
    assert sealer.unseal(sealer.keep_or_seal(None, b"other")) == b"other"
    assert sealer.unseal(sealer.keep_or_seal(b"garbage", b"other")) == b"other"


def test_a_token_of_an_old_key_is_sealed_anew(keys: Path) -> None:
    sealer = Sealer.from_file(keys)
    stored = sealer.seal(b"secret")
    new_key = Fernet.generate_key()
    keys.write_bytes(new_key + b"," + keys.read_bytes())
    renewed = sealer.keep_or_seal(stored, b"secret")
    assert renewed != stored
    assert Fernet(new_key).decrypt(renewed) == b"secret"


@pytest.mark.parametrize("text", ["", " , ", "not-a-key", "c2hvcnQ="])
def test_a_file_without_good_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        Sealer.from_file(path)
    assert caught.value.reason == "SealingKeysInvalid"
    assert text.strip(" ,") == "" or text not in caught.value.message


def test_a_missing_file_may_come(tmp_path: Path) -> None:
    with pytest.raises(WorldError) as caught:
        Sealer.from_file(tmp_path / "keys")
    assert caught.value.reason == "SealingKeysUnreadable"


def test_signing_keys_have_the_contracts_form() -> None:
    now = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
    newest, older = generate_signing_key(now), generate_signing_key(now)
    decoded = json.loads(encode_signing_keys([newest, older]))
    assert [entry["kid"] for entry in decoded] == [newest.kid, older.kid]
    assert set(decoded[0]) == {"kid", "k", "createdAt"}
    assert base64.urlsafe_b64decode(decoded[0]["k"] + "=") == newest.k
    assert len(newest.k) == 32
    assert decoded[0]["createdAt"] == "2031-01-02T03:04:05+00:00"
    assert newest.kid != older.kid
    assert repr(newest.k) not in repr(newest)

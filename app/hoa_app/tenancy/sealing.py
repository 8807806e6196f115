"""Opening what the operator sealed (docs/contract.md, section 2)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from hoa_app.tenancy.tenant import KeyRing, SigningKey


class SealError(Exception):
    """None of the mounted keys opens this value, or what is inside is not what it should be."""


class _SealedKey(msgspec.Struct):
    kid: str
    k: str
    createdAt: datetime  # noqa: N815 - as the contract spells it


class Unsealer:
    """Tries every mounted key. The file is read again when none fits, because keys rotate under a running pod."""

    def __init__(self, keys_file: Path) -> None:
        self._file = keys_file
        self._fernet = self._read()

    def _read(self) -> MultiFernet:
        keys = [key.strip() for key in self._file.read_text(encoding="utf-8").split(",") if key.strip()]
        if not keys:
            raise SealError(f"{self._file} holds no key")
        return MultiFernet([Fernet(key) for key in keys])

    def open(self, sealed: bytes) -> bytes:
        """The clear bytes; raises SealError."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            self._fernet = self._read()
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise SealError("no mounted sealing key opens this value; is HOA_SEALING_KEYS_FILE current?") from None

    def signing_keys(self, sealed: bytes) -> KeyRing:
        """The tenant's key ring; raises SealError."""
        try:
            raw = msgspec.json.decode(self.open(sealed), type=list[_SealedKey])
            ring = KeyRing(tuple(SigningKey(key.kid, _decode(key.k), key.createdAt.timestamp()) for key in raw))
        except (msgspec.MsgspecError, ValueError) as error:
            raise SealError(f"the signing keys are not in the agreed form: {error}") from None
        if not ring.keys or any(len(key.secret) < 32 for key in ring.keys):
            raise SealError("a tenant needs at least one signing key of 32 bytes")
        return ring


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))

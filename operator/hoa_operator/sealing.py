"""Seals what the registry may not hold in the clear (contract section 2): MultiFernet over the keys of one mounted file."""

from __future__ import annotations

import binascii
import secrets
from typing import TYPE_CHECKING, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from hoa_operator.errors import UserError, WorldError
from hoa_operator.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

_KEY_BYTES = 32


def generate_signing_key(now: datetime) -> SigningKey:
    """Make a new key with a random id."""
    return SigningKey(kid=secrets.token_hex(8), k=secrets.token_bytes(_KEY_BYTES), created_at=now)


class Sealer:
    """Seals with the first key of the file and unseals with any; follows the file when a rotation rewrites it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: str | None = None
        self._primary: Fernet
        self._all: MultiFernet
        self._refresh()

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read the keys of `path`; raises UserError `SealingKeysInvalid` or WorldError `SealingKeysUnreadable`."""
        return cls(path)

    def seal(self, plain: bytes) -> bytes:
        """Return a token over `plain`, made with the newest key."""
        self._refresh()
        return self._primary.encrypt(plain)

    def unseal(self, sealed: bytes) -> bytes:
        """Return what `sealed` holds; raises UserError `UnsealFailed` when no key opens it."""
        self._refresh()
        try:
            return self._all.decrypt(sealed)
        except InvalidToken as error:
            raise UserError(
                "UnsealFailed",
                "no sealing key opens a stored secret; put the key it was sealed with back into the sealing-keys Secret",
            ) from error

    def keep_or_seal(self, stored: bytes | None, plain: bytes) -> bytes:
        """Return `stored` if the newest key sealed just `plain` in it, else a new token: so an unchanged row stays unchanged."""
        self._refresh()
        if stored is not None:
            try:
                if secrets.compare_digest(self._primary.decrypt(stored), plain):
                    return stored
            except InvalidToken:
                pass
        return self.seal(plain)

    def seals_with(self, key: str) -> bool:
        """Tell whether this is the key that seals, as far as the mounted file has come."""
        self._refresh()
        return secrets.compare_digest((self._text or "").partition(",")[0].strip(), key)

    def keys_text(self) -> str:
        """Return all keys as the file holds them, for the Secret that it is mounted from, and for nothing else."""
        self._refresh()
        return self._text or ""

    def _refresh(self) -> None:
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WorldError(
                "SealingKeysUnreadable",
                f"cannot read the sealing keys in {self._path}: {error}; check the Secret mounted there",
            ) from error
        if text == self._text:
            return
        keys = _parse(text, self._path)
        self._primary, self._all, self._text = keys[0], MultiFernet(keys), text


def generate_sealing_key() -> str:
    """Make a new key in the form of the file."""
    return Fernet.generate_key().decode("ascii")


class Resealer:
    """Brings tokens from any of the keys to the first."""

    def __init__(self, keys: Sequence[str]) -> None:
        parsed = [Fernet(key) for key in keys]
        self._first, self._all = parsed[0], MultiFernet(parsed)

    def seal(self, plain: bytes) -> bytes:
        """Return a token over `plain`, made with the first key."""
        return self._first.encrypt(plain)

    def renewed(self, token: bytes) -> bytes | None:
        """Return the token itself if the first key made it, else one over the same; None if no key opens it."""
        try:
            self._first.decrypt(token)
        except InvalidToken:
            pass
        else:
            return token
        try:
            return self._all.rotate(token)
        except InvalidToken:
            return None


def _parse(text: str, path: Path) -> list[Fernet]:
    try:
        keys = [Fernet(part.strip()) for part in text.split(",") if part.strip()]
    except (ValueError, binascii.Error) as error:
        raise UserError(
            "SealingKeysInvalid",
            f"{path} holds something else than comma-separated url-safe base64 keys of 32 bytes "
            "each; correct the Secret mounted there",
        ) from error
    if not keys:
        raise UserError(
            "SealingKeysInvalid", f"{path} holds no sealing key; put the keys into the Secret mounted there"
        )
    return keys

"""SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677) in Postgres's format, so that no password ever stands in SQL text."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import Final

#: What RFC 7677 asks for, which makes every guess dearer.
ITERATIONS: Final = 4096
#: The shape of what nobody can guess and `generate_password` makes: one iteration is enough for it (docs/adr/0014).
_GENERATED: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SALT_BYTES: Final = 16


def verifier(password: str, *, salt: bytes | None = None) -> str:
    """Return `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` for `password`.

    The operator's own passwords are printable ASCII, where SASLprep changes nothing; anything else is refused.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("a password for Postgres must be non-empty printable ASCII")
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    iterations = 1 if _GENERATED.fullmatch(password) else ITERATIONS
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored_key)}:{_b64(server_key)}"


def generate_password() -> str:
    """Return a new password of 256 random bits, url-safe."""
    return secrets.token_urlsafe(32)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")

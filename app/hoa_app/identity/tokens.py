"""Tokens signed with the tenant's own key: what a session's cookie and an API token are made of.

A token proves only which row of the database to read. Who that is and what they may do is read there, every time.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.jws import extract_compact

from hoa_app.tenancy.tenant import SigningKey, Tenant

ALGORITHM = "HS256"
MAX_LENGTH = 2048
LEEWAY_SECONDS = 10
CACHE_SIZE = 4096
Kind = Literal["session", "api"]


class TokenError(Exception):
    """The token is not one of this tenant's, or no longer good."""


class ForeignTokenError(TokenError):
    """The token is signed by, or names, another tenant: someone tries to cross over."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says: which kind of row, and the hash it is found under."""

    kind: Kind
    token_hash: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class Minted:
    """A new token, and what to store of it."""

    token: str
    token_hash: bytes


def issuer(tenant: Tenant) -> str:
    """`iss`: the tenant, under the name it keeps for ever (hosts may change)."""
    return f"urn:hoaconnect:tenant:{tenant.id_text}"


def audience(tenant: Tenant) -> str:
    """`aud`: the tenant's portal."""
    return f"urn:hoaconnect:portal:{tenant.slug}"


def mint(tenant: Tenant, kind: Kind, expires_at: int) -> Minted:
    """A token good until `expires_at` (Unix seconds)."""
    key = tenant.keys.signing
    secret = secrets.token_urlsafe(32)
    claims = {
        "iss": issuer(tenant),
        "aud": audience(tenant),
        "tenantId": tenant.id_text,
        "typ": kind,
        "jti": secret,
        "iat": int(time.time()),
        "exp": expires_at,
    }
    token = jwt.encode({"alg": ALGORITHM, "kid": key.kid}, claims, _jwk(key), algorithms=[ALGORITHM])
    return Minted(token, hash_secret(secret))


@dataclass(frozen=True)
class LinkSecrets:
    """What a mailed link may prove itself by, by hash, the key that signs first: known only to whoever holds the tenant's keys.

    An attempt to send it anew keeps the link of the one before, also after the keys were rotated in between.
    """

    by_hash: dict[bytes, str]

    @property
    def hashes(self) -> list[bytes]:
        """The hashes that one of the tenant's keys leads to: a stored one of them is kept."""
        return list(self.by_hash)

    @property
    def preferred(self) -> bytes:
        """The hash to store where none of them is: a late pod finds it among its own, too."""
        return next(iter(self.by_hash))

    def token(self, stored: bytes) -> str:
        """The link's token for the hash that is stored now."""
        return self.by_hash[bytes(stored)]


def link_secrets(tenant: Tenant, purpose: str, row_id: UUID) -> LinkSecrets:
    """The link of one row, under each of the tenant's keys."""
    tokens = [
        urlsafe_b64encode(bytes.fromhex(mac)).decode().rstrip("=")
        for mac in tenant.keys.macs(f"link:{purpose}", str(row_id))
    ]
    return LinkSecrets({hash_secret(token): token for token in tokens})


def hash_secret(secret: str) -> bytes:
    """SHA-256: enough for secrets of 256 random bits."""
    return hashlib.sha256(secret.encode()).digest()


class Verifier:
    """Checks tokens. Good ones are remembered for the key ring they were checked under, since each request shows one."""

    def __init__(self) -> None:
        self._good: dict[tuple[int, str], tuple[Tenant, Claims]] = {}

    def verify(self, tenant: Tenant, token: str) -> Claims:
        """The claims; raises TokenError, or ForeignTokenError where another tenant's token was shown."""
        cached = self._good.get((id(tenant), token))
        if cached is not None and cached[0] is tenant:
            if cached[1].expires_at + LEEWAY_SECONDS < time.time():
                raise TokenError("expired")
            return cached[1]
        claims = _verify(tenant, token)
        if len(self._good) >= CACHE_SIZE:
            self._good.clear()
        self._good[id(tenant), token] = (tenant, claims)
        return claims


def key_id(token: str) -> str:
    """The `kid` an unverified token names, or an empty string."""
    try:
        return str(extract_compact(token.encode()).headers().get("kid", ""))
    except (JoseError, TypeError, ValueError):
        return ""


def _verify(tenant: Tenant, token: str) -> Claims:
    if len(token) > MAX_LENGTH:
        raise TokenError("too long")
    key = tenant.keys.find(key_id(token))
    if key is None:
        raise ForeignTokenError("signed with a key that is not this tenant's")
    try:
        claims = jwt.decode(token, _jwk(key), algorithms=[ALGORITHM]).claims
    except (JoseError, TypeError, ValueError) as error:
        raise TokenError(type(error).__name__) from None
    return _check(tenant, claims)


def _check(tenant: Tenant, claims: dict[str, Any]) -> Claims:
    said = (claims.get("tenantId"), claims.get("iss"), claims.get("aud"))
    if said != (tenant.id_text, issuer(tenant), audience(tenant)):
        raise ForeignTokenError("names another tenant")
    kind, secret, expires_at = claims.get("typ"), claims.get("jti"), claims.get("exp")
    if kind not in ("session", "api") or not isinstance(secret, str) or not isinstance(expires_at, int):
        raise TokenError("incomplete")
    if expires_at + LEEWAY_SECONDS < time.time():
        raise TokenError("expired")
    return Claims(kind, hash_secret(secret), expires_at)


def _jwk(key: SigningKey) -> OctKey:
    return OctKey.import_key(key.secret)

"""Tokens: signed with the tenant's own key, good for one tenant, and worth nothing without their row in its database."""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

if TYPE_CHECKING:
    from hoa_app.tenancy.tenant import Tenant

Kind = Literal["session", "api"]
ISSUER = "hoa-connect"
ALGORITHMS = ["HS256"]
LONGEST = 2048


@dataclass(frozen=True)
class Minted:
    """A token for its holder, and the hash that the database keeps instead of it."""

    token: str
    token_hash: bytes


def mint(tenant: Tenant, kind: Kind, seconds: int) -> Minted:
    """A new token of `kind` for `tenant`, good for `seconds`."""
    jti = secrets.token_urlsafe(32)
    key = tenant.keys.signing
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": tenant.slug,
        "tenantId": tenant.id_text,
        "typ": kind,
        "jti": jti,
        "iat": now,
        "exp": now + seconds,
    }
    token = jwt.encode({"alg": "HS256", "kid": key.kid}, claims, OctKey.import_key(key.secret))
    return Minted(token, secret_hash(jti))


def verify(tenant: Tenant, token: str) -> tuple[Kind, bytes] | None:
    """The kind and the hash to look up, or None for a token that this tenant did not make or that ran out."""
    if not token or len(token) > LONGEST:
        return None
    try:
        claims = jwt.decode(token, lambda found: _key(tenant, found.headers()), algorithms=ALGORITHMS).claims
    except (JoseError, ValueError, KeyError):
        return None
    expected = (ISSUER, tenant.slug, tenant.id_text)
    if (claims.get("iss"), claims.get("aud"), claims.get("tenantId")) != expected:
        return None
    kind, jti, expiry = claims.get("typ"), claims.get("jti"), claims.get("exp")
    if kind not in ("session", "api") or not isinstance(jti, str) or not isinstance(expiry, int):
        return None
    if expiry <= time.time():
        return None
    return kind, secret_hash(jti)


def _key(tenant: Tenant, headers: dict[str, object]) -> OctKey:
    found = tenant.keys.find(str(headers.get("kid", "")))
    if found is None:
        raise KeyError("kid")
    return OctKey.import_key(found.secret)


def secret_hash(secret: str) -> bytes:
    """What is stored of a random secret: it has 256 bits, so a plain hash will do."""
    return hashlib.sha256(secret.encode()).digest()

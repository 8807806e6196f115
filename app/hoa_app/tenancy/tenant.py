"""A tenant as the registry describes it: parsed once into a frozen value that every layer shares."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal
from uuid import UUID

SERVED_STATES = frozenset({"Active", "ReadOnly", "Suspended"})
#: Seconds before a new key signs. Another pod that missed the notification finds it within 36 s (docs/contract.md, section 1);
#: one whose connection broke unnoticed needs 25 s to see that, 15 s to connect and 15 s to read. Twice that and more.
SIGNS_AFTER: Final = 120.0
#: As Postgres's own settings: a pod that is gone with its node keeps a session, which counts, for half a minute and not for hours.
KEEPALIVES: Final = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=25000"
)


@dataclass(frozen=True)
class Limits:
    """What the tier (and the tenant's own overrides) grant."""

    requests_per_second: int = 50
    concurrent_requests: int = 50
    database_connections: int = 10
    statement_timeout_ms: int = 30_000
    storage_bytes: int = 10 * 1024**3
    homeowners_max: int | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Limits:
        """From the registry's `limits`; an absent key keeps the default."""
        return cls(
            requests_per_second=int(raw.get("requestsPerSecond", cls.requests_per_second)),
            concurrent_requests=int(raw.get("concurrentRequests", cls.concurrent_requests)),
            database_connections=int(raw.get("databaseConnections", cls.database_connections)),
            statement_timeout_ms=int(raw.get("statementTimeoutMs", cls.statement_timeout_ms)),
            storage_bytes=int(raw.get("storageBytes", cls.storage_bytes)),
            homeowners_max=None if raw.get("homeownersMax") is None else int(raw["homeownersMax"]),
        )


@dataclass(frozen=True)
class Branding:
    """How the tenant wants to look; empty strings mean "ours"."""

    primary_color: str = ""
    logo_url: str = ""
    support_email: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Branding:
        """From the registry's `branding`."""
        return cls(str(raw.get("primaryColor", "")), str(raw.get("logoURL", "")), str(raw.get("supportEmail", "")))


@dataclass(frozen=True)
class Database:
    """Where the tenant's data lives and how the app logs in. The password never shows in a repr."""

    host: str
    port: int
    dbname: str
    username: str
    sslmode: str = "prefer"
    password: str = field(default="", repr=False)

    def parameters(self) -> dict[str, Any]:
        """Keyword arguments for psycopg's connect."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.dbname,
            "user": self.username,
            "password": self.password,
            "sslmode": self.sslmode,
        }


@dataclass(frozen=True)
class SigningKey:
    """One symmetric key; `kid` travels in the token's header. `since` is when, in Unix seconds, pods began to learn of it."""

    kid: str
    secret: bytes = field(repr=False)
    since: float = 0.0


@dataclass(frozen=True)
class KeyRing:
    """The tenant's signing keys, newest first. All verify; the newest signs that every pod knows, so that what one pod signs
    during a rotation is good at all of them."""

    keys: tuple[SigningKey, ...] = field(repr=False, default=())

    @property
    def signing(self) -> SigningKey:
        """The key that signs now."""
        return self.signing_at(time.time())

    def signing_at(self, now: float) -> SigningKey:
        """The newest key known for `SIGNS_AFTER`; while there is none, the one known longest."""
        return next((key for key in self.keys if key.since <= now - SIGNS_AFTER), self.keys[-1])

    def following(self, before: KeyRing, now: float) -> KeyRing:
        """This ring where `before` was known until now: other pods learn of a key that is new in it no earlier, however long
        ago it was made."""
        since = {key.kid: key.since for key in before.keys}
        return KeyRing(tuple(replace(key, since=since.get(key.kid, now)) for key in self.keys))

    def find(self, kid: str) -> SigningKey | None:
        """The key named `kid`, if it is this tenant's."""
        return next((key for key in self.keys if key.kid == kid), None)

    def mac(self, purpose: str, message: str) -> str:
        """Hex MAC of `message` under the key that signs, separated by purpose."""
        return _mac(self.signing.secret, purpose, message)

    def macs(self, purpose: str, message: str) -> list[str]:
        """Hex MACs of `message` under each of the keys, first the one that signs."""
        first = self.signing
        return [_mac(key.secret, purpose, message) for key in (first, *(key for key in self.keys if key != first))]

    def mac_matches(self, purpose: str, message: str, given: str) -> bool:
        """Whether `given` is a MAC of `message` under any of the keys."""
        wanted = given.encode("utf-8", "replace")
        return any(hmac.compare_digest(_mac(key.secret, purpose, message).encode(), wanted) for key in self.keys)


def _mac(secret: bytes, purpose: str, message: str) -> str:
    return hmac.new(secret, f"{purpose}\0{message}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Tenant:
    """One served management company. Two equal values mean that nothing changed in the registry."""

    id: UUID
    slug: str
    hosts: tuple[str, ...]
    display_name: str
    state: Literal["Provisioning", "Active", "ReadOnly", "Suspended", "Deleting", "Deleted"]
    tier: str
    database: Database
    keys: KeyRing = field(repr=False)
    limits: Limits = field(default_factory=Limits)
    branding: Branding = field(default_factory=Branding)
    placement: str = "Shared"
    schema_revision: str | None = None
    base_url: str = ""

    @property
    def served(self) -> bool:
        """Whether its hosts answer at all."""
        return self.state in SERVED_STATES

    @cached_property
    def id_text(self) -> str:
        """The id as text, made once: it labels every metric and log line."""
        return str(self.id)

    def url(self, path: str) -> str:
        """An absolute link to `path` on the tenant's canonical host."""
        return f"{self.base_url}{path}"

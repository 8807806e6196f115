"""Remembers what each tenant's database said of its use and whether its logins still let in, and when to ask again:
often while the welcome mail is under way, then rarely. After a start one tenant is asked after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final

from hoa_operator.errors import OperatorError
from hoa_operator.postgres import APP, PASSWORD_REFUSED
from hoa_operator.steps import DATABASE_READY, WELCOME_MAIL_SENT
from hoa_operator.world import Reading, Trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from hoa_operator.kinds import Object
    from hoa_operator.postgres import PostgresServer
    from hoa_operator.postgres.model import Usage

_FIRST: Final = 2.0
#: Of those that a new operator finds well: a look inside is two logins, five times as much work as all the rest of a look, so
#: all of them are looked at first, and then inside ten of them a second.
_LOOKED_AT: Final = 0.02
_LOOKED_INSIDE: Final = 0.1


@dataclass(frozen=True)
class Passwords:
    """What lets the app and the migrator in, if nobody changed it; `login` is the app login that the registry names."""

    app: str
    migrator: str
    login: str = APP


async def look_inside(door: PostgresServer, tenant_id: UUID, passwords: Passwords) -> Reading:
    """Log in as the app and as the migrator, and read the figures."""
    try:
        if not await door.verify_login(tenant_id, passwords.login, passwords.app):
            return Reading(refused=True)
        return Reading(await door.usage(tenant_id, passwords.migrator))
    except OperatorError as error:
        refused = error.reason == PASSWORD_REFUSED
        return Reading(refused=refused, trouble=None if refused else Trouble(error.reason, error.message))


@dataclass
class _Entry:
    reading: Reading
    of: str | None
    read_at: float
    pending_since: float


class UsageBook:
    """The last reading per tenant; `clock` is monotonic, `interval` the seconds between readings in quiet times."""

    def __init__(self, clock: Callable[[], float], interval: float) -> None:
        self._clock = clock
        self._interval = interval
        self._entries: dict[UUID, _Entry] = {}
        self._due: dict[UUID, float] = {}

    def put_off(self, tenants: Sequence[UUID]) -> None:
        """Read these for the first time in this order, and not all at once, but all within an interval."""
        begin = self._clock() + _LOOKED_AT * len(tenants)
        apart = min(_LOOKED_INSIDE, self._interval / max(1, len(tenants)))
        self._due = {tenant: begin + apart * place for place, tenant in enumerate(tenants)}

    def hasten(self, tenant_id: UUID) -> None:
        """Put a first reading off no longer."""
        self._due.pop(tenant_id, None)

    async def read(self, tenant_id: UUID, ask: Callable[[], Awaitable[Reading]], of: str | None = None) -> Reading:
        """Return the last reading, or a new one when it is time; figures that cannot be read stay the last ones.

        `of` names the migration they are figures after: another one may have sent a mail.
        """
        entry = self._entries.get(tenant_id)
        if entry is not None and entry.of == of and self._clock() < entry.read_at + self._pause(entry):
            return entry.reading
        if self._clock() < self._due.get(tenant_id, -inf):
            return Reading(later=True)
        self._due.pop(tenant_id, None)
        reading = await ask()
        if reading.usage is None and (reading.refused or reading.trouble) and entry is not None:
            reading = replace(reading, usage=_after(entry, of))
        if reading.refused:
            return reading  # not remembered: once the password is set again, it is tried again
        now = self._clock()
        since = entry.pending_since if entry is not None and _pending(entry.reading) else now
        self._entries[tenant_id] = _Entry(reading, of, now, since)
        return reading

    def next_look(self, tenant_id: UUID) -> float | None:
        """Return the seconds until a first look inside that was put off, or until a pending welcome mail is worth another look;
        None when neither is."""
        left = self._due.get(tenant_id, -inf) - self._clock()
        if left > 0:
            return left
        entry = self._entries.get(tenant_id)
        if entry is None or not _pending(entry.reading):
            return None
        return max(0.0, entry.read_at + self._pause(entry) - self._clock())

    def forget(self, tenant_id: UUID) -> None:
        """Drop a tenant's reading."""
        self._entries.pop(tenant_id, None)
        self._due.pop(tenant_id, None)

    def _pause(self, entry: _Entry) -> float:
        """Return the seconds between two readings; where a mail waits, a quarter of how long it had: without a mail server, all
        of them wait for ever."""
        if not _pending(entry.reading):
            return self._interval
        return min(self._interval, max(_FIRST, (entry.read_at - entry.pending_since) / 4))


def _after(entry: _Entry, of: str | None) -> Usage | None:
    """Return the last figures; after another migration nobody can tell any more that the mail is out."""
    known = entry.reading.usage
    return replace(known, welcome_mail="Queued") if known is not None and entry.of != of else known


def _pending(reading: Reading) -> bool:
    return reading.usage is None or reading.usage.welcome_mail != "Sent"


def is_settled(body: Object) -> bool:
    """Tell whether a tenant is Ready as it is now: nobody has changed or deleted it since."""
    status, meta = body.get("status") or {}, body["metadata"]
    unchanged = status.get("observedGeneration") == meta.get("generation") and "deletionTimestamp" not in meta
    return unchanged and status.get("phase") == "Ready"


def was_well_inside(body: Object) -> bool:
    """Tell whether, besides, its database had nothing left to tell: its figures could be read, and no mail was under way."""
    said = {item["type"]: item for item in (body.get("status") or {}).get("conditions") or ()}
    readable = said.get(DATABASE_READY, {}).get("reason") == "Provisioned"
    return is_settled(body) and readable and said.get(WELCOME_MAIL_SENT, {}).get("status") == "True"

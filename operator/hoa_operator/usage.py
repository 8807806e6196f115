"""Remembers what each tenant's database said of its use, and when to ask again: often until the welcome mail
went out, then rarely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from hoa_operator.postgres import Usage

_FIRST: Final = 2.0
_SLOWEST: Final = 60.0


@dataclass
class _Entry:
    usage: Usage | None
    read_at: float
    pending_since: float


class UsageBook:
    """The last reading per tenant; `clock` is monotonic, `interval` the seconds between readings in quiet times."""

    def __init__(self, clock: Callable[[], float], interval: float) -> None:
        self._clock = clock
        self._interval = interval
        self._entries: dict[UUID, _Entry] = {}

    async def read(self, tenant_id: UUID, ask: Callable[[UUID], Awaitable[Usage | None]]) -> Usage | None:
        """Return the last reading, or a new one when it is time."""
        entry = self._entries.get(tenant_id)
        if entry is not None and self._clock() < entry.read_at + self._pause(entry):
            return entry.usage
        usage = await ask(tenant_id)
        now = self._clock()
        since = entry.pending_since if entry is not None and _pending(entry.usage) else now
        self._entries[tenant_id] = _Entry(usage, now, since)
        return usage

    def next_look(self, tenant_id: UUID) -> float | None:
        """Return the seconds until a pending welcome mail is worth another look; None when none is pending."""
        entry = self._entries.get(tenant_id)
        if entry is None or not _pending(entry.usage):
            return None
        return max(0.0, entry.read_at + self._pause(entry) - self._clock())

    def forget(self, tenant_id: UUID) -> None:
        """Drop a tenant's reading."""
        self._entries.pop(tenant_id, None)

    def _pause(self, entry: _Entry) -> float:
        if not _pending(entry.usage):
            return self._interval
        return min(_SLOWEST, max(_FIRST, (self._clock() - entry.pending_since) / 4))


def _pending(usage: Usage | None) -> bool:
    return usage is None or usage.welcome_mail != "Sent"

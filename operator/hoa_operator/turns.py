"""Who may start a migration Job now: a bounded number in all, room kept for every server, tenants never served first.

A plan's Job is reserved before anything is awaited, so that reconciles at work side by side never start too many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True)
class Wish:
    """A tenant that has to run a Job against a server; `served` tells whether people use it already."""

    tenant: str
    server: str
    served: bool


@dataclass(frozen=True)
class Track:
    """What there is to share: Jobs at once, the servers there are, and the Jobs under way as who -> server."""

    limit: int
    servers: Collection[str]
    under_way: Mapping[str, str]


def grants(track: Track, line: Iterable[Wish]) -> list[str]:
    """Return who of the line may start now, in order: those never served first, then first come, first served."""
    busy = Counter(track.under_way.values())
    granted = []
    for wish in sorted(line, key=lambda wish: wish.served):
        if busy.total() >= track.limit:
            break
        if wish.tenant not in track.under_way and _has_room(track, busy, wish.server):
            granted.append(wish.tenant)
            busy[wish.server] += 1
    return granted


def _has_room(track: Track, busy: Counter[str], server: str) -> bool:
    """Every server may take its share, and more than that only of what is not kept for the others' shares."""
    share = max(1, track.limit // (2 * max(1, len(track.servers))))
    if busy[server] < share:
        return True
    kept = sum(max(0, share - busy[other]) for other in track.servers if other != server)
    return track.limit - busy.total() > min(kept, track.limit // 2)


class Turns:
    """The line of those that wait for a turn, and the turns given to reconciles whose Job is not to be seen yet."""

    def __init__(self) -> None:
        self._line: dict[str, Wish] = {}
        self._given: dict[str, str] = {}

    def may_start(self, wish: Wish, track: Track) -> bool:
        """Tell whether it is this tenant's turn, after those that wait before it."""
        return wish.tenant in grants(self._with_given(track), {**self._line, wish.tenant: wish}.values())

    def give(self, wish: Wish) -> None:
        """Count a Job that is about to be started."""
        self._given[wish.tenant] = wish.server
        self._line.pop(wish.tenant, None)

    def settle(self, tenant: str, wish: Wish | None) -> None:
        """End a look at a tenant: its Job, if it got one, is to be seen by now; with a wish it waits where it stood."""
        self._given.pop(tenant, None)
        if wish is None:
            self._line.pop(tenant, None)
        else:
            self._line[tenant] = wish

    def due(self, track: Track) -> list[str]:
        """Return who waits and could start now."""
        return grants(self._with_given(track), self._line.values()) if self._line else []

    @property
    def waiting(self) -> int:
        """Return how many tenants wait."""
        return len(self._line)

    def _with_given(self, track: Track) -> Track:
        return Track(track.limit, track.servers, {**track.under_way, **self._given})

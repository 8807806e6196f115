"""Who may start a migration Job now: a bounded number in all, room kept for every server, tenants never served first.

A plan's Job is reserved before anything is awaited, so that reconciles at work side by side never start too many.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping


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
    """Return who of the line may start now, in its order. It may be long, and is asked for often: it is read no further than
    there is room."""
    busy = Counter(track.under_way.values())
    left = track.limit - busy.total()
    granted, full = [], set[str]()
    for wish in line if left > 0 else ():
        if wish.tenant in track.under_way or wish.server in full:
            continue
        if not _has_room(track, busy, wish.server):
            full.add(wish.server)  # for good: what others take makes no room here
            continue
        granted.append(wish.tenant)
        busy[wish.server] += 1
        left -= 1
        if not left:
            break
    return granted


def _has_room(track: Track, busy: Counter[str], server: str) -> bool:
    """Every server may take its share, and more than that only of what is not kept for the others' shares."""
    share = max(1, track.limit // (2 * max(1, len(track.servers))))
    if busy[server] < share:
        return True
    kept = sum(max(0, share - busy[other]) for other in track.servers if other != server)
    return track.limit - busy.total() > min(kept, track.limit // 2)


class Turns:
    """The line of those that wait for a turn, those never served first, then first come, first served; and the turns given to
    reconciles whose Job is not to be seen yet."""

    def __init__(self) -> None:
        self._never_served: dict[str, Wish] = {}
        self._served: dict[str, Wish] = {}
        self._given: dict[str, str] = {}

    def may_start(self, wish: Wish, track: Track) -> bool:
        """Tell whether it is this tenant's turn, after those that wait before it."""
        return wish.tenant in self._grants(track, self._with(wish))

    def give(self, wish: Wish) -> None:
        """Count a Job that is about to be started."""
        self._given[wish.tenant] = wish.server
        self._leave(wish.tenant)

    def settle(self, tenant: str, wish: Wish | None) -> None:
        """End a look at a tenant: its Job, if it got one, is to be seen by now; with a wish it waits where it stood."""
        self._given.pop(tenant, None)
        if wish is None:
            self._leave(tenant)
            return
        line, other = (self._served, self._never_served) if wish.served else (self._never_served, self._served)
        other.pop(tenant, None)
        line[tenant] = wish

    def due(self, track: Track) -> list[str]:
        """Return who waits and could start now."""
        return self._grants(track, chain(self._never_served.values(), self._served.values())) if self.waiting else []

    @property
    def waiting(self) -> int:
        """Return how many tenants wait."""
        return len(self._never_served) + len(self._served)

    def _leave(self, tenant: str) -> None:
        self._never_served.pop(tenant, None)
        self._served.pop(tenant, None)

    def _with(self, asked: Wish) -> Iterator[Wish]:
        """Walk along the line with one more in it: where it stands, else behind its like."""
        for line, served in ((self._never_served, False), (self._served, True)):
            for wish in line.values():
                if wish.tenant != asked.tenant:
                    yield wish
                elif asked.served == served:
                    yield asked
            if asked.served == served and asked.tenant not in line:
                yield asked

    def _grants(self, track: Track, line: Iterable[Wish]) -> list[str]:
        return grants(Track(track.limit, track.servers, {**track.under_way, **self._given}), line)

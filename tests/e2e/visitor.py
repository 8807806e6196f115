"""Someone signed in who keeps working while the platform is changed under them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from tests.bench.figures.portal import Portal
from tests.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from tests.e2e.cluster import Cluster, HOATenant

#: What only someone signed in may read and write: the app asks the tenant's database each time.
COMMUNITIES = "/api/v1/communities"
#: Every so many requests is a write.
WRITES_EVERY = 10


@dataclass
class Visitor(Rounds):
    """Asks for a tenant's communities, one request after the other, and now and then adds one, for as long as the `with` block
    runs. An answer that is none, or not the one that is due, is a failure; anything else that goes wrong fails the block.

    `send` asks the tenant's portal: a method, a path, and what `httpx.request` takes besides."""

    # At most twenty a second: enough to fall into every gap of a rollout, not so many that the small tier says 429.
    pause = 0.05

    send: Callable[..., httpx.Response]
    reads: int = 0
    writes: int = 0
    failures: list[str] = field(default_factory=list)
    _number: itertools.count[int] = field(default_factory=lambda: itertools.count(1), init=False)

    @classmethod
    def of(cls, cluster: Cluster, tenant: HOATenant) -> Self:
        """Become the owner of a tenant that nobody has signed in to yet."""
        token = Portal(cluster.port).become_owner(tenant).token
        headers = {"Host": f"{tenant.name}.localhost:{cluster.port}", "Authorization": f"Bearer {token}"}
        address = f"http://127.0.0.1:{cluster.port}"

        def send(method: str, path: str, **more: Any) -> httpx.Response:
            # A connection of its own each time, so that every request finds its way anew.
            return httpx.request(method, f"{address}{path}", headers=headers, timeout=15, **more)

        return cls(send)

    @property
    def answered(self) -> int:
        """How many requests ended as they should."""
        return self.reads + self.writes

    def go_round(self) -> None:
        """Read, or write."""
        number = next(self._number)
        if number % WRITES_EVERY:
            self.reads += self._asked(200, "GET")
        else:
            body = {"name": f"Community {number}", "timeZone": "America/Denver"}
            self.writes += self._asked(201, "POST", json=body)

    def _asked(self, due: int, method: str, **more: Any) -> bool:
        try:
            answer = self.send(method, COMMUNITIES, **more)
        except httpx.HTTPError as error:
            self.failures.append(f"{method}: {error!r}")
            return False
        if answer.status_code != due:
            self.failures.append(f"{method}: {answer.status_code} {answer.text[:200]}")
        return answer.status_code == due

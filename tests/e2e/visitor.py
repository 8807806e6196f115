"""Someone who keeps asking for a page while the platform is changed under them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType

    from tests.e2e.cluster import Cluster


class Visitor:
    """GETs a page of a tenant, one request after the other, for as long as the `with` block runs: the sign-in page, or
    with a token what only someone signed in may read, which asks the tenant's database each time."""

    def __init__(self, cluster: Cluster, slug: str, token: str | None = None) -> None:
        self._cluster = cluster
        self._slug = slug
        self._path = "/api/v1/communities" if token else "/sign-in"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.answered = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(timeout=30)

    def _ask(self) -> None:
        # Twenty a second: enough to fall into every gap of a rollout, not so many that the small tier says 429.
        while not self._over.wait(0.05):
            try:
                page = self._cluster.get(f"{self._slug}.localhost", self._path, headers=self._headers)
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
                continue
            if page.status_code == 200:
                self.answered += 1
            else:
                self.failures.append(f"{page.status_code}: {page.text[:80]}")

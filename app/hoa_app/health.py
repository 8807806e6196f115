"""Liveness, readiness and health, for probes that come by the pod's address and know no tenant; no tenant is named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import psycopg
from starlette.responses import PlainTextResponse, Response

from hoa_app.db.session import TenantDatabase
from hoa_app.logs import get_logger
from hoa_app.problems import Problem

if TYPE_CHECKING:
    from hoa_app.background import Background
    from hoa_app.services import Services
    from hoa_app.tenancy.tenant import Tenant

TIMEOUT_SECONDS = 3.0
KEEP_SECONDS = 1.0
TRIES = 3
Status = Literal["ok", "error", "unconfigured"]

log = get_logger()


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency's answer. `needed` ones decide about the whole."""

    name: str
    status: Status
    latency_ms: float
    needed: bool
    detail: str = ""

    def document(self) -> dict[str, Any]:
        """For the JSON."""
        found: dict[str, Any] = {
            "name": self.name,
            "status": self.status,
            "latencyMs": self.latency_ms,
            "needed": self.needed,
        }
        if self.detail:
            found["detail"] = self.detail
        return found


class Health:
    """Answers the three probes; the checks of `/health` run together and are kept for a second."""

    def __init__(self, services: Services, background: Background) -> None:
        self._services = services
        self._background = background
        self._kept: tuple[float, Response] | None = None
        self._lock = asyncio.Lock()

    async def answer(self, path: str) -> Response:
        """The response for one of /livez, /readyz, /health."""
        if path == "/livez":
            ended = self._background.ended
            return PlainTextResponse(
                f"no longer running: {', '.join(ended)}\n" if ended else "ok\n", 503 if ended else 200
            )
        if path == "/readyz":
            ready = self._services.registry.loaded.is_set()
            return PlainTextResponse("ok\n" if ready else "the registry has not been read yet\n", 200 if ready else 503)
        async with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > KEEP_SECONDS:
                self._kept = (time.monotonic(), self._respond(await self.checks()))
            return self._kept[1]

    async def checks(self) -> list[Check]:
        """Every dependency at once."""
        loaded = self._services.registry.loaded.is_set()
        found = await asyncio.gather(
            _timed("database", self._databases, needed=True),
            # Once loaded, tenants are served from memory while the registry is away.
            _timed("registry", self._registry, needed=not loaded),
            _timed("storage", self._services.storage.check, needed=True),
            _timed("mail", self._services.mailer.check, needed=False, configured=self._services.mailer.configured),
        )
        return list(found)

    def _respond(self, checks: list[Check]) -> Response:
        healthy = all(check.status != "error" for check in checks if check.needed)
        body = {
            "status": "healthy" if healthy else "unhealthy",
            "version": self._services.settings.app_version,
            "checks": [check.document() for check in checks],
        }
        return Response(
            msgspec.json.encode(body),
            status_code=200 if healthy else 503,
            headers={"Cache-Control": "no-store"},
            media_type="application/json",
        )

    async def _registry(self) -> None:
        await self._services.registry.execute("SELECT 1")

    async def _databases(self) -> None:
        """Every database server that serves tenants, through one of its tenants."""
        await asyncio.gather(*(self._server(tenants) for tenants in self._by_server()))

    def _by_server(self) -> list[list[Tenant]]:
        """A few tenants per server, those first whose pool is open."""
        opened = set(self._services.pools.opened())
        servers: dict[tuple[str, int], list[Tenant]] = {}
        for tenant in sorted(self._services.registry.tenants(), key=lambda one: one.id not in opened):
            if tenant.served:
                servers.setdefault((tenant.database.host, tenant.database.port), []).append(tenant)
        return [tenants[:TRIES] for tenants in servers.values()]

    async def _server(self, tenants: list[Tenant]) -> None:
        """The server is well when one tenant's database answers: a single broken one is that tenant's trouble."""
        for place, tenant in enumerate(tenants, 1):
            try:
                async with TenantDatabase(self._services.pools, tenant).transaction(readonly=True) as tx:
                    await tx.execute("SELECT 1")
            except (Problem, psycopg.Error):
                if place == len(tenants):
                    raise
            else:
                return


async def _timed(name: str, check: Callable[[], Awaitable[None]], *, needed: bool, configured: bool = True) -> Check:
    if not configured:
        return Check(name, "unconfigured", 0.0, needed)
    started = time.perf_counter()
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await check()
    except Exception as error:
        log.warning("health check failed", check=name, error=f"{type(error).__name__}: {error}"[:300])
        return Check(
            name, "error", _ms(started), needed, "no answer in time" if isinstance(error, TimeoutError) else "failed"
        )
    return Check(name, "ok", _ms(started), needed)


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)

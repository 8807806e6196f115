"""Whose request is this? Exactly one tenant's, by its host, or nobody's; then its state and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from hoa_app.db.session import TenantDatabase, read_only_problem
from hoa_app.logs import get_logger
from hoa_app.migrations import serving
from hoa_app.problems import Problem, upgrading
from hoa_app.tenancy.bodies import Body, Intake
from hoa_app.tenancy.facts import UNSAFE, Facts
from hoa_app.tenancy.hosts import normalize_host

if TYPE_CHECKING:
    from hoa_app.health import Health
    from hoa_app.services import Services
    from hoa_app.tenancy.limits import Gate
    from hoa_app.tenancy.tenant import Tenant

PROBES = frozenset({"/livez", "/readyz", "/health"})
ASSETS = "/assets/"
# Signing in and out writes no more than the session, and without it nobody could read.
WRITES_WHILE_READ_ONLY = frozenset({"/sign-in", "/sign-out", "/api/v1/session"})

log = get_logger()


class Tenancy:
    """Sets `request.state.tenant` and `.db`. The host comes from the Host header and from nowhere else."""

    def __init__(self, app: ASGIApp, services: Services, gate: Gate, health: Health) -> None:
        self._app = app
        self._services = services
        self._gate = gate
        self._health = health
        self._intake = Intake(services.settings.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Resolve, check, count in, pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path in PROBES:
            scope["hoa.route"] = path
            await (await self._health.answer(path))(scope, receive, send)
            return
        state = scope["state"]
        facts: Facts = state["facts"]
        tenant = self._resolve(facts)
        if tenant is None:
            await self._unknown()(scope, receive, send)
            return
        state["tenant"] = tenant
        state["db"] = TenantDatabase(self._services.pools, tenant)
        state["told"] = True  # by the gate, should it refuse
        if path.startswith(ASSETS):
            self._gate.count_asset(tenant, state["client_ip"])
        else:
            self._gate.count(tenant, state["client_ip"])
        state["told"] = False
        if facts.tenant_id:
            self._check_header(tenant, facts.tenant_id, inside=state["caller"].inside)
        if path.startswith(ASSETS):
            await self._app(scope, receive, send)
            return
        self._check_state(tenant, scope)
        largest = self._services.settings.max_body_bytes
        body = state["body"] = Body(receive, largest, facts.content_length, self._intake, tenant.id)
        try:
            await self._work(scope, body, send)
        finally:
            body.done()

    async def _work(self, scope: Scope, body: Body, send: Send) -> None:
        """A place among the requests being worked on is not spent on waiting for a slow sender."""
        tenant: Tenant = scope["state"]["tenant"]
        if scope["method"] in UNSAFE:
            with self._gate.arriving(tenant, scope["state"]["client_ip"]):
                await body.begin()
        async with self._gate.in_line(tenant):
            if scope["method"] in UNSAFE and not body.complete:
                with self._gate.uploading(tenant):
                    await self._app(scope, body.receive, send)
            else:
                await self._app(scope, body.receive, send)

    def _resolve(self, facts: Facts) -> Tenant | None:
        if facts.hosts != 1:
            return None
        host = normalize_host(facts.host)
        return self._services.registry.find(host) if host else None

    def _unknown(self) -> Response:
        """The same plain words for every host that is nobody's: a name that was never taken, or one that is gone."""
        self._services.metrics.unknown_hosts.inc()
        return PlainTextResponse("Not Found\n", status_code=404)

    def _check_header(self, tenant: Tenant, given: str, *, inside: bool) -> None:
        """`x-tenant-id` never chooses a tenant. From outside it is refused; from inside it must agree with the host."""
        if not inside:
            self._count(tenant, "header from outside")
            raise Problem(
                400,
                "Header not accepted",
                "x-tenant-id is accepted only inside the platform; the host says whose portal this is.",
            )
        if given.lower() != tenant.id_text:
            self._count(tenant, "header disagrees with host")
            raise Problem(400, "Header and host disagree", "x-tenant-id names another tenant than the host.")

    def _count(self, tenant: Tenant, why: str) -> None:
        self._services.metrics.isolation_refusals.labels("host", tenant.id_text).inc()
        log.warning("isolation refusal", lock="host", why=why, tenant=tenant.id_text)

    @staticmethod
    def _check_state(tenant: Tenant, scope: Scope) -> None:
        if tenant.state == "Suspended":
            raise Problem(
                403,
                "This portal is suspended",
                f"{tenant.display_name} is not available at the moment. Nothing is lost.",
            )
        if serving.is_too_old(tenant.schema_revision):
            raise upgrading()
        if tenant.state == "ReadOnly" and scope["method"] in UNSAFE and scope["path"] not in WRITES_WHILE_READ_ONLY:
            raise read_only_problem()

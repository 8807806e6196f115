"""The app put together: services, layers, routes. Features come in as values; nothing here knows one by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from hoa_app.api import PREFIX, Operation
from hoa_app.background import Background
from hoa_app.db.pools import PoolLimits, Pools
from hoa_app.feature import Feature
from hoa_app.health import Health
from hoa_app.identity.api import OPERATIONS
from hoa_app.identity.middleware import Identity
from hoa_app.identity.passwords import Passwords
from hoa_app.identity.routes import NAV, ROUTES
from hoa_app.jobs.mail import Mailer
from hoa_app.jobs.waker import Waker
from hoa_app.metrics import Metrics
from hoa_app.observe import Observe
from hoa_app.openapi import document
from hoa_app.routing import RouteIndex
from hoa_app.services import Services
from hoa_app.settings import Settings
from hoa_app.storage import Storage
from hoa_app.tenancy.limits import Gate
from hoa_app.tenancy.middleware import Tenancy
from hoa_app.tenancy.registry import Registry
from hoa_app.web import template_environment

STATIC = Path(__file__).parent / "static"


def create_services(settings: Settings, features: Sequence[Feature], application_name: str = "hoa-app") -> Services:
    """Everything the process shares; nothing is connected yet."""
    metrics = Metrics()
    limits = PoolLimits(settings.pool_max_total, settings.pool_idle_seconds, settings.pool_tenant_share)
    nav = sorted([*NAV, *(item for feature in features for item in feature.nav)], key=lambda item: item.order)
    return Services(
        settings=settings,
        registry=Registry(settings, metrics),
        pools=Pools(limits, metrics, application_name),
        storage=Storage(settings.storage_url),
        mailer=Mailer(settings.mail, metrics),
        passwords=Passwords(),
        metrics=metrics,
        templates=template_environment(features),
        features=tuple(features),
        nav=tuple(nav),
    )


@asynccontextmanager
async def running(services: Services, background: Background) -> AsyncIterator[None]:
    """Follow the registry and keep the pools; on the way out close everything."""
    registry, pools = services.registry, services.pools
    waker, crowded = Waker(registry), Waker(registry, "hoa_crowded")
    pools.on_wake, pools.on_full = waker.wake, crowded.wake
    registry.on_change += [pools.forget, services.sizes.forget]
    registry.on_crowded.append(pools.give_way)
    registry.on_pods.append(pools.shared_by)
    works = {"registry": registry.run(), "pools": pools.housekeep(), "waker": waker.run(), "crowded": crowded.run()}
    try:
        async with background.running(works):
            yield
    finally:
        await services.pools.close()
        await services.registry.close()
        services.passwords.close()


def create_app(settings: Settings, features: Sequence[Feature]) -> Starlette:
    """The ASGI application."""
    services, background = create_services(settings, features), Background()
    operations = [*OPERATIONS, *(operation for feature in features for operation in feature.operations)]

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with running(services, background):
            yield

    app = Starlette(
        routes=[RouteIndex([*_routes(features), *_api(operations, settings)]), *_assets()],
        middleware=[
            Middleware(Observe, services=services),
            Middleware(Tenancy, services=services, gate=Gate(services.metrics), health=Health(services, background)),
            Middleware(Identity, services=services),
        ],
        exception_handlers={HTTPException: _pass_on},
        lifespan=lifespan,
    )
    app.state.services = services
    return app


async def _pass_on(_request: Request, error: Exception) -> NoReturn:
    """Every error is answered in one place, the outermost layer."""
    raise error


def _routes(features: Sequence[Feature]) -> list[BaseRoute]:
    return [*ROUTES, *(route for feature in features for route in feature.routes)]


def _api(operations: Sequence[Operation], settings: Settings) -> list[BaseRoute]:
    described = msgspec.json.encode(document(operations, settings.app_version))

    async def openapi(_request: Request) -> Response:
        return Response(described, media_type="application/json", headers={"Cache-Control": "public, max-age=300"})

    return [Route(f"{PREFIX}/openapi.json", openapi), *(operation.route() for operation in operations)]


class Assets(StaticFiles):
    """Files that change only with a release."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Let browsers keep them for an hour; after that an ETag answers."""
        response = await super().get_response(path, scope)
        response.headers.setdefault("Cache-Control", "public, max-age=3600")
        return response


def _assets() -> list[BaseRoute]:
    htmx: Any = Assets(packages=[("django_htmx", "static/django_htmx")])
    return [Mount("/assets/htmx", htmx), Mount("/assets", Assets(directory=STATIC))]

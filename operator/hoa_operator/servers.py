"""Where a tenant's database can lie: HOADatabaseServer parsed, and the choice among several, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from hoa_operator.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ANEW: Final = "delete this HOATenant, of which nothing was made yet, and apply it again"


@dataclass(frozen=True)
class DatabaseServer:
    """One HOADatabaseServer and what its status says."""

    name: str
    uid: str
    generation: int
    host: str
    port: int
    sslmode: str
    admin_secret: str
    region: str | None
    max_tenants: int
    max_connections: int | None
    schedulable: bool
    ready: bool | None
    not_ready_message: str
    system_identifier: str | None
    template_revision: str | None


def parse_server(body: Mapping[str, Any]) -> DatabaseServer:
    """Read a HOADatabaseServer, whose schema the API server has checked."""
    spec, status = body["spec"], body.get("status") or {}
    capacity = spec.get("capacity") or {}
    ready = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), None)
    return DatabaseServer(
        name=body["metadata"]["name"],
        uid=body["metadata"]["uid"],
        generation=body["metadata"].get("generation", 1),
        host=spec["endpoint"]["host"],
        port=spec["endpoint"].get("port", 5432),
        sslmode=spec["endpoint"].get("sslMode", "require"),
        admin_secret=spec["adminSecretName"],
        region=spec.get("region"),
        max_tenants=capacity.get("maxTenants", 500),
        max_connections=capacity.get("maxConnections"),
        schedulable=spec.get("scheduling", "Schedulable") == "Schedulable",
        ready=None if ready is None else ready["status"] == "True",
        not_ready_message="" if ready is None else ready.get("message", ""),
        system_identifier=status.get("systemIdentifier"),
        template_revision=status.get("templateRevision"),
    )


@dataclass(frozen=True)
class PlacementRequest:
    """What decides where a tenant goes: `held` is where its data already lies, `wanted` what the spec names, `given`
    the server it was given before, which it keeps while that is no worse; `takes_over` says that the data is another's
    still, so that it can be left where it is."""

    held: str | None
    wanted: str | None
    region: str | None
    given: str | None = None
    takes_over: bool = False


def choose(request: PlacementRequest, servers: Iterable[DatabaseServer], load: Mapping[str, int]) -> DatabaseServer:
    """Return the server for the tenant; `load` counts the others per server. Data that lies somewhere stays there: raises
    UserError before it is taken over by a tenant that wants it elsewhere."""
    by_name = {server.name: server for server in servers}
    if request.held and request.takes_over:
        return _taken_over(request.held, request, by_name)
    if request.held:
        return _existing(request.held, by_name, "holds the tenant's database")
    if request.wanted:
        return _wanted(request, by_name, load)
    return _roomiest(request, by_name, load)


def _taken_over(held: str, request: PlacementRequest, by_name: Mapping[str, DatabaseServer]) -> DatabaseServer:
    if request.wanted is not None and request.wanted != held:
        raise UserError(
            "DatabaseServerDiffers",
            f"the data to be taken over lies on HOADatabaseServer {held!r}, but spec.database.serverName is {request.wanted!r}, "
            f"and neither moves; {_ANEW} with serverName {held}, or without one, or without asking for that data",
        )
    server = _existing(held, by_name, "holds the data to be taken over")
    if request.region and server.region != request.region:
        lies = f"lies in region {server.region}" if server.region else "lies in no region"
        with_what = f"with spec.region {server.region}, or without one" if server.region else "without spec.region"
        raise UserError(
            "RegionMismatch",
            f"HOADatabaseServer {held!r}, which holds the data to be taken over, {lies}, but spec.region is {request.region}; "
            f"{_ANEW} {with_what}, or without asking for that data",
        )
    return server


def _existing(name: str, by_name: Mapping[str, DatabaseServer], why: str) -> DatabaseServer:
    if name in by_name:
        return by_name[name]
    known = ", ".join(sorted(by_name)) or "none"
    raise UserError(
        "DatabaseServerMissing",
        f"HOADatabaseServer {name!r} {why}, but does not exist (there are: {known}); create it or correct the name",
    )


def _wanted(
    request: PlacementRequest, by_name: Mapping[str, DatabaseServer], load: Mapping[str, int]
) -> DatabaseServer:
    assert request.wanted is not None  # noqa: S101 - the caller checked; for the type checker
    server = _existing(request.wanted, by_name, "is named by spec.database.serverName")
    if request.region and server.region != request.region:
        raise UserError(
            "RegionMismatch",
            f"HOADatabaseServer {server.name!r} lies in region {server.region or 'none'}, "
            f"but spec.region is {request.region}; name a server of that region",
        )
    if load.get(server.name, 0) >= server.max_tenants:
        raise _full(server.name, server.max_tenants)
    return server


def _roomiest(
    request: PlacementRequest, by_name: Mapping[str, DatabaseServer], load: Mapping[str, int]
) -> DatabaseServer:
    where = f" in region {request.region}" if request.region else ""
    fitting = [s for s in by_name.values() if s.schedulable and (request.region is None or s.region == request.region)]
    if not fitting:
        raise UserError(
            "NoDatabaseServer",
            f"no schedulable HOADatabaseServer{where}; add one, or set spec.scheduling of one to Schedulable",
        )
    room = [s for s in fitting if load.get(s.name, 0) < s.max_tenants]
    if not room:
        raise _full(", ".join(sorted(s.name for s in fitting)), sum(s.max_tenants for s in fitting))
    # Ready ones first, then the one filled least; the name breaks ties so that the choice is stable.
    return min(
        room, key=lambda s: (s.ready is False, s.name != request.given, load.get(s.name, 0) / s.max_tenants, s.name)
    )


def _full(name: str, room: int) -> UserError:
    return UserError(
        "DatabaseServerFull",
        f"HOADatabaseServer {name} has its {room} tenants; add a server or raise spec.capacity.maxTenants",
    )


def isolated(still_open: Iterable[str], admin: str) -> tuple[Literal["True", "False"], str, str]:
    """Return status, reason and message of the condition `Isolated`: whether a tenant's login gets into its own database only.

    In one that is open to everyone it could meet other tenants' logins, and hold the advisory locks the operator needs.
    """
    doors = ", ".join(f'"{name}"' for name in sorted(still_open))
    if not doors:
        return "True", "Locked", "no database lets everyone in"
    return (
        "False",
        "OpenToPublic",
        f"every login of the server, tenants' too, gets into {doors}, and login {admin} may not change that; have their owner"
        f' or a superuser run: GRANT CONNECT ON DATABASE {doors} TO "{admin}";'
        f" REVOKE CONNECT, TEMPORARY ON DATABASE {doors} FROM PUBLIC;",
    )

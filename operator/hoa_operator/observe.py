"""Reads the world of one tenant once: the cache for Kubernetes, one query each for the registry and the database."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

from hoa_operator import names, servers, tiers
from hoa_operator.adoption import taken_over
from hoa_operator.budget import Budget
from hoa_operator.domains import allowed, read_secrets
from hoa_operator.errors import UserError, WorldError
from hoa_operator.heritage import kept_behind
from hoa_operator.kinds import (
    CHILDREN,
    DEPLOYMENT,
    SECRET,
    SERVER,
    TENANT,
    TIER,
    Object,
    is_owned_by,
    labels_of,
    name_of,
    tenants_of,
)
from hoa_operator.manifests.secrets import Marks, read_credentials, read_password
from hoa_operator.places import Places
from hoa_operator.postgres.model import DatabaseIdentity
from hoa_operator.postgres.names import APP
from hoa_operator.steps import CREDENTIALS_READY, DATABASE_READY, ROUTE_READY, SPEC_ACCEPTED
from hoa_operator.target import StepFailed, Surroundings, Target, attributed, check_hosts, passed_on
from hoa_operator.teardown import Remains, is_abandoned
from hoa_operator.tenant import AUTO_TIER, parse_identity, parse_spec
from hoa_operator.turns import Track, Turns, Wish
from hoa_operator.unrecorded import Unrecorded, remembered
from hoa_operator.usage import Passwords, is_settled, look_inside
from hoa_operator.world import Children, Domains, Reading, Record, RowSecrets, World, registered_login

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hoa_operator.cache import Cache
    from hoa_operator.fleet import Fleet
    from hoa_operator.kube import Kube
    from hoa_operator.postgres import ObservedDatabase, PostgresServer
    from hoa_operator.registry import Registry
    from hoa_operator.registry_model import RegistryRow
    from hoa_operator.sealing import Sealer
    from hoa_operator.servers import DatabaseServer
    from hoa_operator.settings import Settings
    from hoa_operator.tenant import Identity, TenantSpec
    from hoa_operator.tiers import Tier
    from hoa_operator.usage import UsageBook


@dataclass(frozen=True)
class Sources:
    """Where the world is read from."""

    settings: Settings
    cache: Cache
    registry: Registry
    sealer: Sealer
    fleet: Fleet
    usage: UsageBook
    kube: Kube
    places: Places = field(default_factory=Places)
    turns: Turns = field(default_factory=Turns)
    budget: Budget = field(default_factory=Budget)

    def tenants(self) -> list[Object]:
        """Return every HOATenant."""
        return self.cache.all(TENANT)


async def observe_tenant(sources: Sources, body: Object, now: datetime) -> World:
    """Return the tenant's world; raise `StepFailed` that names the condition if part of it cannot be read."""
    identity = parse_identity(body)
    with attributed(SPEC_ACCEPTED):
        spec = parse_spec(body)
        hosts = check_hosts(spec, sources.settings.route.base_domain)
        record = await read_record(sources, identity)
        if record.row is None:
            record = await _without_row(sources, body, identity, spec)
        around, server = await _place(sources, body, identity, spec, record)
    tenant_id = _tenant_id(identity, record)
    kin = children_of(sources.cache, identity.name)
    record = replace(record, secrets=_secrets(sources.sealer, record.row, kin))
    with attributed(DATABASE_READY):
        async with sources.fleet.door(server) as door:
            database = await door.observe(tenant_id)
            if not is_settled(body):
                sources.usage.hasten(tenant_id)
            reading = await _look_inside(sources, door, record, database, kin)
    with attributed(ROUTE_READY):
        https = sources.settings.route.https
        domains = Domains(await read_secrets(sources.kube, identity.name, spec) if https else {})
    with attributed(SPEC_ACCEPTED):
        homeowners = max(spec.homeowners, _homeowners(body, record, reading))
        said, in_force = (body.get("status") or {}).get("autoTier"), record.row.tier if record.row else None
        given = tiers.last_given(said, spec.tier, in_force)
        tier = _tier(spec, homeowners, given, record.row, around.tiers)
        pending = None if tier.gone else tiers.pending(spec.tier, homeowners, tier, around.tiers)
    return World(
        settings=sources.settings,
        body=body,
        target=Target(
            identity,
            spec,
            tenant_id,
            server,
            tier,
            homeowners,
            hosts,
            pending,
            tiers.automatic(homeowners, given, around.tiers),
        ),
        record=record,
        database=database,
        reading=reading,
        children=kin,
        shared_app=sources.cache.get(DEPLOYMENT, sources.settings.app.deployment),
        turn=sources.turns.may_start(
            Wish(identity.name, server.name, bool(record.row and record.row.schema_revision)), track(sources)
        ),
        now=now,
        kept_behind=kept_behind(
            identity, record.row.tenant_id if record.row else identity.uid, sources.cache.all(SERVER)
        ),
        passed_on=_passed_on(sources, identity, record.row, hosts),
        domains=allowed(sources.budget, sources.cache, (identity.name, spec), domains, sources.settings.route, now),
    )


async def _without_row(sources: Sources, body: Object, identity: Identity, spec: TenantSpec) -> Record:
    """Return the record of a tenant that has no row. One that had data goes on with it, whatever lies under its name and
    whatever it once asked for; any other may take something over."""
    registry, alive = sources.registry, _alive(sources)
    lost = remembered(identity, body)
    if lost is None:
        return await taken_over(registry, identity, spec, alive)
    tenant_id = lost.row.tenant_id
    former = await registry.by_tenant_id(tenant_id)
    known_as_anothers = former is not None or not lost.served
    if not known_as_anothers or await _is_its_own(sources, identity, lost):
        return Record(None, None, None, void_row=former, lost=tenant_id)
    found = await taken_over(registry, identity, spec, alive)
    if not lost.served:
        return found
    others = found.kept is not None and found.kept.tenant_id != tenant_id
    return Record(None, None, None, lost=tenant_id) if others else replace(found, lost=tenant_id)


async def _is_its_own(sources: Sources, identity: Identity, lost: Unrecorded) -> bool:
    """Tell whether the database that the status speaks of carries this tenant's own comment."""
    with attributed(DATABASE_READY):
        async with sources.fleet.door(server_named(sources.cache, lost.server)) as door:
            database = await door.observe(lost.row.tenant_id)
    return database.exists and database.identity == _signed(sources, lost.row.tenant_id, identity.uid)


def _tenant_id(identity: Identity, record: Record) -> UUID:
    """Return whose data it is: what is on record, what the status remembers where nothing is, else a new tenant's."""
    known = record.row or record.kept
    return known.tenant_id if known is not None else record.lost or identity.uid


async def observe_remains(sources: Sources, body: Object, now: datetime) -> Remains:
    """Return what is left of a tenant that goes away."""
    identity = parse_identity(body)
    with attributed(SPEC_ACCEPTED):
        record = await read_record(sources, identity)
    database = None
    placement = record.placement
    living = record.row is not None and record.row.state != "Deleted"
    if record.row is not None and living and placement is not None and not is_abandoned(identity, placement):
        with attributed(DATABASE_READY):
            server = server_named(sources.cache, placement.server_name)
            async with sources.fleet.door(server) as door:
                database = await door.observe(record.row.tenant_id)
    return Remains(
        identity=identity,
        record=record,
        database=database,
        children=children_of(sources.cache, identity.name),
        installation=sources.settings.installation,
        now=now,
        unrecorded=await _unrecorded(sources, identity, body) if record.row is None else None,
    )


async def _unrecorded(sources: Sources, identity: Identity, body: Object) -> Unrecorded | None:
    """Return what there is of a deleted tenant that has no row; nothing where it is another's by now, who took it over, or where
    it was never in service and the database is not its own yet."""
    found = remembered(identity, body) if identity.deleting else None
    if found is None:
        return None
    tenant_id, registry = found.row.tenant_id, sources.registry
    with attributed(DATABASE_READY):
        other = await registry.by_tenant_id(tenant_id)
        if other is not None and other.uid in _alive(sources):
            return None
        if identity.abandoned_server == found.server:
            return replace(found, former=other)
        async with sources.fleet.door(server_named(sources.cache, found.server)) as door:
            database = await door.observe(tenant_id)
        if not found.served and database.identity != _signed(sources, tenant_id, identity.uid):
            return None
        dropped = database.absent and await registry.was_dropped(tenant_id)
    return replace(found, database=database, former=other, dropped=dropped)


def _alive(sources: Sources) -> set[UUID]:
    return {UUID(tenant["metadata"]["uid"]) for tenant in sources.tenants()}


def _signed(sources: Sources, tenant_id: UUID, uid: UUID) -> DatabaseIdentity:
    """Return the comment of a database that is a HOATenant's own."""
    return DatabaseIdentity(tenant_id, uid, sources.settings.installation)


def _tier(
    spec: TenantSpec, homeowners: int, given: str | None, row: RegistryRow | None, known: tuple[Tier, ...]
) -> Tier:
    """Return the tier that holds. One that is deleted under a tenant that is served goes on as the registry has it, so that it
    keeps nothing else of the spec from being carried out."""
    try:
        return tiers.resolve(spec.tier, homeowners, given, known)
    except UserError:
        if row is None or not row.limits or row.schema_revision is None or spec.tier not in (row.tier, AUTO_TIER):
            raise
        return tiers.remembered(row.tier, row.limits)


async def _place(
    sources: Sources, body: Object, identity: Identity, spec: TenantSpec, record: Record
) -> tuple[Surroundings, DatabaseServer]:
    """Return what there is, and the server for the tenant, where it counts from now on."""
    tenant_id = str(record.row.tenant_id if record.row else identity.uid)
    # Where the registry knows nothing, the tenant's status tells where its data lies: never somewhere else.
    placed = record.placement.server_name if record.placement else placed_on(body)
    # Only who has no place yet needs to know how full the servers are, for which all tenants are gone through.
    occupied = await sources.registry.occupied() if placed is None else None
    # From here to `give` nothing is awaited: two tenants never see the same last place free.
    around = surroundings(sources.cache, sources.places, occupied, but=tenant_id)
    request = servers.PlacementRequest(
        placed, spec.database.server_name, spec.region, sources.places.given(tenant_id), takes_over=record.row is None
    )
    server = servers.choose(request, around.servers, around.load)
    if placed is None:
        sources.places.give(tenant_id, server.name)
    return around, server


def _passed_on(sources: Sources, identity: Identity, row: RegistryRow | None, hosts: Sequence[str]) -> frozenset[str]:
    others = (body for body in sources.tenants() if body["metadata"]["uid"] != str(identity.uid))
    return passed_on(row.hosts, hosts, others, sources.settings.route.base_domain) if row is not None else frozenset()


def surroundings(cache: Cache, places: Places, occupied: Mapping[str, str] | None, but: str) -> Surroundings:
    """Return the tiers and servers of the namespace, and how many tenants each server has, all `but` one counted; nobody is
    without what the registry knows, as tenant id -> server."""
    return Surroundings(
        tiers=tuple(tiers.parse_tier(body) for body in cache.all(TIER)),
        servers=tuple(servers.parse_server(body) for body in cache.all(SERVER)),
        load={} if occupied is None else _load(cache, places, occupied, but),
    )


def _load(cache: Cache, places: Places, occupied: Mapping[str, str], but: str) -> Mapping[str, int]:
    known: dict[str, str] = {}
    alive = set()
    for body in cache.all(TENANT):
        alive.add(body["metadata"]["uid"])
        name = placed_on(body)
        if name:
            known[(body["status"]).get("tenantID") or body["metadata"]["uid"]] = name
    return places.load({**known, **occupied}, alive, but)


def placed_on(tenant: Object) -> str | None:
    """Return the server that a HOATenant's status names."""
    found = ((tenant.get("status") or {}).get("database") or {}).get("server")
    return str(found) if found else None


def server_named(cache: Cache, name: str) -> DatabaseServer:
    """Return a server; raise if its HOADatabaseServer is gone, which time or a person may heal."""
    body = cache.get(SERVER, name)
    if body is None:
        raise WorldError(
            "DatabaseServerMissing",
            f"HOADatabaseServer {name!r} holds the tenant's data, but does not exist; create it again, or, if the server "
            "is gone for good, see docs/operations/lost-server.md",
        )
    return servers.parse_server(body)


def children_of(cache: Cache, tenant: str) -> Children:
    """Return everything that is the tenant's by its label or its owner; pods of its Jobs among it."""
    return Children({kind: tuple(cache.of_tenant(kind, tenant)) for kind in CHILDREN})


def track(sources: Sources) -> Track:
    """Return the migration Jobs that have not finished, and whom they share the room with."""
    cache = sources.cache
    under_way = {}
    for job in cache.unfinished_jobs():
        labels = labels_of(job)
        if labels.get(names.LABEL_COMPONENT) != "migration":
            continue
        tenant = min(tenants_of(job), default=None)
        server = _server_of(sources, tenant) if tenant else labels.get(names.LABEL_SERVER, "")
        under_way[tenant or f"template/{server}"] = server
    return Track(sources.settings.timing.job_concurrency, [name_of(body) for body in cache.all(SERVER)], under_way)


def _server_of(sources: Sources, tenant: str) -> str:
    body = sources.cache.get(TENANT, tenant)
    if body is None:
        return ""
    return placed_on(body) or sources.places.given(body["metadata"]["uid"]) or ""


async def read_record(sources: Sources, identity: Identity) -> Record:
    """Return what the registry knows; the row's tokens stay sealed."""
    row = await sources.registry.observe(identity.uid)
    if row is None:
        return Record(None, None, None)
    return Record(row, await sources.registry.placement(row.tenant_id), None)


def _secrets(sealer: Sealer, row: RegistryRow | None, kin: Children) -> RowSecrets | None:
    """Return what the row's tokens hold. Where no key opens them, what the credentials Secret holds counts as not in
    force, and is sealed anew; without that Secret only the key helps."""
    if row is None:
        return None
    try:
        with attributed(CREDENTIALS_READY):
            return _unseal(sealer, row)
    except StepFailed as failed:
        secret = kin.get(SECRET, names.credentials_secret(row.name))
        known = read_credentials(secret.get("data") or {}) if secret and is_owned_by(secret, str(row.uid)) else None
        if known is None or not isinstance(failed.failure.error, UserError):
            raise
        return RowSecrets(known.app_password, known.signing_keys, newest_key=False, login=known.login)


def _unseal(sealer: Sealer, row: RegistryRow) -> RowSecrets | None:
    if row.sealed_password is None or row.sealed_signing_keys is None:
        return None
    password, keys = sealer.unseal(row.sealed_password), sealer.unseal(row.sealed_signing_keys)
    newest = (
        sealer.keep_or_seal(row.sealed_password, password) == row.sealed_password
        and sealer.keep_or_seal(row.sealed_signing_keys, keys) == row.sealed_signing_keys
    )
    return RowSecrets(password.decode(), keys.decode(), newest, registered_login(row) or APP)


async def _look_inside(
    sources: Sources, door: PostgresServer, record: Record, database: ObservedDatabase, kin: Children
) -> Reading:
    """Return what the database of a tenant that was in service shows to its own logins."""
    row, secrets = record.row, record.secrets
    if row is None or row.schema_revision is None or not database.exists or not database.allow_connections:
        return Reading()
    # Written last whenever passwords change: what it holds was set in Postgres.
    live = kin.get(SECRET, names.migrator_secret(row.name))
    migrator = read_password(live.get("data") or {}) if live is not None and is_owned_by(live, str(row.uid)) else None
    if secrets is None or migrator is None:
        return Reading()
    passwords = Passwords(secrets.app_password, migrator, secrets.login)
    migrated = Marks.read(live).migrated
    return await sources.usage.read(row.tenant_id, lambda: look_inside(door, row.tenant_id, passwords), migrated)


def _homeowners(body: Object, record: Record, reading: Reading) -> int:
    """Return how many homeowners there are; while nobody can say of a tenant that is served, as many as were known last."""
    if reading.usage is not None:
        return reading.usage.homeowners
    served = record.row is not None and record.row.schema_revision is not None
    return int((body.get("status") or {}).get("homeowners") or 0) if served else 0

"""Decides what to do for a tenant that shall live: pure. Reconcile carries it out, looks again and asks again.

The order is what makes a kill at any instant harmless: the finalizer before anything is made; the claim on slug and
hosts before the database; where the database lies, before it is made; its oid as soon as it is known; passwords set
before they are registered.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hoa_operator import desire, drift, migrating, names, rotating
from hoa_operator.errors import UserError, WorldError
from hoa_operator.heritage import being_dropped, described
from hoa_operator.kinds import INGRESS, SECRET, is_owned_by, kind_of, name_of
from hoa_operator.manifests.meta import is_current
from hoa_operator.manifests.secrets import NO_MARKS
from hoa_operator.postgres import names as postgres_names
from hoa_operator.postgres.desired import differences
from hoa_operator.registry_model import Heir, Placement, RegistryRow
from hoa_operator.rotation import tidied
from hoa_operator.steps import (
    CAPACITY_READY,
    CREDENTIALS_READY,
    ROUTE_READY,
    AddFinalizer,
    AdoptData,
    ApplyObject,
    DeleteObject,
    EnsureDatabase,
    Forget,
    MintCredentials,
    Plan,
    RecordPlacement,
    Register,
    RestoreDatabase,
    RotateCredentials,
    SetPasswords,
    Step,
    Tell,
    WriteCredentials,
)
from hoa_operator.unrecorded import told_rebuilt
from hoa_operator.world import RowSecrets

if TYPE_CHECKING:
    from hoa_operator.kinds import Object
    from hoa_operator.manifests.meta import Manifest
    from hoa_operator.manifests.secrets import Credentials
    from hoa_operator.world import World


def plan(world: World) -> Plan:
    """Return the steps that can be taken on what is known now, and Events on what they put back."""
    decided = _plan(world)
    return replace(decided, steps=(*decided.steps, *drift.repairs(world, decided.steps)))


def survey(world: World) -> Plan:
    """Return all that differs from the spec, for a tenant that is only observed: also what would have to wait until the
    database or the credentials are as they should be."""
    return _plan(world, whole=True)


def _plan(world: World, *, whole: bool = False) -> Plan:
    first: list[Step] = [] if world.target.identity.has_finalizer else [AddFinalizer()]
    steps = [*first, *_claim(world)]
    if world.row is not None and world.passed_on:
        return Plan((*first, *_passed_on(world, world.row)))
    if world.row is None and world.record.kept is not None:
        return Plan((*steps, *_adoption(world, world.record.kept)))
    if world.row is None:
        return Plan((*steps, *_beginning(world), *_recorded(world)))
    check_data_is_there(world)
    credentials = world.credentials
    if credentials is None:
        return Plan((*steps, _mint(world), *([*_capacity(world), *_route(world)] if whole else ())))
    steps += _database(world, credentials)
    steps = steps or _rotation(world, credentials)
    if steps and not whole:
        return Plan(tuple(steps))
    steps += _credentials(world, credentials)
    turn = migrating.decide(world)
    steps += [*turn.steps, *_capacity(world), *_route(world)]
    if not steps:
        steps += _serve(world)
    waits = [wait for wait in (turn.wait, rotating.next_look(world, credentials)) if wait is not None]
    return replace(turn, steps=tuple(steps), wait=min(waits, default=None))


def _adoption(world: World, kept: RegistryRow) -> list[Step]:
    """Take over retained data: the tenant id stays, the owner's uid becomes this tenant's."""
    check_data_is_there(world)
    placement = world.record.placement
    assert placement is not None  # noqa: S101 - retained data has its place; for the type checker
    target = world.target.identity
    heir = Heir(target.uid, target.namespace, target.name, kept.uid)
    # The comments may carry the heir's uid already: a run that was killed wrote it.
    proof = replace(placement, claimants=(*placement.claimants, target.uid)).proof(kept.uid)
    adopt = AdoptData(placement.server_name, proof, world.database_spec(None).identity, heir, world.record.void)
    return [_told_adopted(world, placement), adopt]


def _told_adopted(world: World, placement: Placement) -> Tell:
    target = world.target
    message = f"takes over the data of tenant {target.tenant_id} on HOADatabaseServer {placement.server_name}"
    if placement.drop_after is not None:
        message += ", whose drop is cancelled"
    if world.record.others:
        message += f"; older data of this name stays retained: {_listed(world)}"
    return Tell("Normal", "DataTakenOver", message)


def _beginning(world: World) -> list[Step]:
    """Begin with nothing, and say so first if there is data of this name."""
    steps: list[Step] = [Forget(world.record.void_row.tenant_id)] if world.record.void_row is not None else []
    lost = "; ".join(f"the data of {words}" for words in map(being_dropped, world.record.dropping))
    if world.record.others:
        latest = world.record.others[0].row.tenant_id
        message = (
            f"this tenant begins with an empty database, but data of an earlier {world.name} is kept: {_listed(world)}. To have "
            f"that instead, delete this HOATenant and apply it again with the annotation {names.ANNOTATION_ADOPT}={latest}; "
            "see docs/operations/retained-databases.md"
        )
        steps.append(Tell("Warning", "RetainedDataFound", f"{message}; {lost}" if lost else message))
    elif lost:
        steps.append(Tell("Warning", "RetainedDataFound", f"this tenant begins with an empty database: {lost}"))
    return steps


def _recorded(world: World) -> list[Step]:
    """Put the tenant on record. Where the registry, restored from a copy or made anew, does not know one that has data, take its
    row from what is left of it; never begin anew beside its data."""
    if world.record.lost is None:
        return [Register(_row(world))]
    database, server = world.database, world.target.server.name
    name = postgres_names.database_name(world.target.tenant_id)
    if not database.exists or database.identity != world.database_spec(None).identity:
        raise UserError(
            "TenantRecordLost",
            f"the registry does not know this tenant, which was in service, and HOADatabaseServer {server} has no database "
            f"{name} that is its own; nothing was put in its place. Restore the registry, or the database, from a backup that has "
            f"it; where both were put back from a copy of before it took that data over, annotate it with {names.ANNOTATION_ADOPT}="
            f"{world.target.tenant_id} to take it over once more (docs/operations/lost-server.md); or delete this HOATenant (its "
            "condition Deleting says how to let it go) and apply it again to begin with an empty one",
        )
    placed = RecordPlacement(_placement(world, database.oid))
    return [told_rebuilt(world.record.void_row, name), Register(_row(world)), placed]


def _listed(world: World) -> str:
    others = [described(found) for found in world.record.others]
    return "; ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")


def _passed_on(world: World, row: RegistryRow) -> list[Step]:
    """Give up hosts that another asks for, before anything is claimed: two that swap would wait for each other for ever.
    The routes go first, so that a host never leads here while it is another's."""
    held = {name_of(manifest): manifest for manifest in desire.routes(world, row.hosts)}
    steps: list[Step] = []
    for live in world.children.owned(INGRESS, world.uid):
        if world.passed_on.isdisjoint(desire.hosts_of(live)):
            continue
        wanted = held.get(name_of(live))
        steps.append(ApplyObject(wanted, ROUTE_READY) if wanted else _delete(live, ROUTE_READY))
    return [*steps, Register(replace(row, hosts=tuple(host for host in row.hosts if host not in world.passed_on)))]


def _claim(world: World) -> list[Step]:
    """Keep the row's public part as the spec says; state and secrets change later."""
    steps: list[Step] = []
    row = world.row
    if row is not None:
        claim = replace(_row(world), state=row.state, database=row.database)
        if claim != row:
            steps.append(Register(claim))
    if world.record.placement is None and row is not None:
        steps.append(RecordPlacement(_placement(world, None)))
    return steps


def _row(world: World) -> RegistryRow:
    """Return the whole row as it shall be; its tokens stay what they are."""
    target, row = world.target, world.row
    return RegistryRow(
        tenant_id=target.tenant_id,
        uid=target.identity.uid,
        namespace=target.identity.namespace,
        name=target.identity.name,
        slug=target.spec.slug,
        hosts=target.hosts,
        display_name=target.spec.display_name,
        state=target.spec.state if row and row.schema_revision else "Provisioning",
        placement=target.spec.placement,
        tier=target.tier.name,
        limits=target.limits.to_json(),
        branding=target.spec.branding.to_json(),
        database=_app_connection(world),
        sealed_password=row.sealed_password if row else None,
        sealed_signing_keys=row.sealed_signing_keys if row else None,
        schema_revision=_revision(world),
    )


def _revision(world: World) -> str | None:
    """Return the revision on record, or a later one that the database itself tells: a Job got it there whose end nobody
    took in, because an older app was deployed meanwhile."""
    known, said = world.revision, world.usage.schema_revision if world.usage else None
    return said if known and said and re.fullmatch(r"\d{4}", said) and said > known else known


def _app_connection(world: World) -> dict[str, str | int]:
    server, tenant_id = world.target.server, world.target.tenant_id
    return {
        "host": server.host,
        "port": server.port,
        "dbname": postgres_names.database_name(tenant_id),
        "username": postgres_names.role_name(tenant_id, world.app_logins.current),
        "sslmode": server.sslmode,
    }


def _placement(world: World, oid: int | None) -> Placement:
    return Placement(world.target.tenant_id, world.target.server.name, world.database.system_identifier, oid)


def check_data_is_there(world: World) -> None:
    """Refuse to put an empty database where recorded data should be, or to work on another server under the same
    address."""
    placement, database = world.record.placement, world.database
    if placement is None:
        return
    if placement.system_identifier != database.system_identifier:
        raise WorldError(
            "WrongServer",
            f"HOADatabaseServer {placement.server_name} now answers as Postgres {database.system_identifier}, but the "
            f"tenant's data lies on {placement.system_identifier}; correct spec.endpoint of the server",
        )
    if placement.database_oid is None or (database.exists and database.oid == placement.database_oid):
        return
    found = f"has oid {database.oid} now" if database.exists else "is gone"
    raise UserError(
        "DatabaseLost",
        f"database {postgres_names.database_name(placement.tenant_id)} (oid {placement.database_oid}) on "
        f"{placement.server_name} {found}; nothing was put in its place. Recover it from the server's own backup "
        "(docs/operations/lost-server.md), or delete the HOATenant, whose condition Deleting says how to let it go without",
    )


def _mint(world: World) -> MintCredentials:
    unreadable = world.children.get(SECRET, names.credentials_secret(world.name))
    return MintCredentials(
        world.record.secrets, unreadable["metadata"]["uid"] if unreadable else None, world.app_logins.current
    )


def _rotation(world: World, credentials: Credentials) -> list[Step]:
    """Rotate what is due, once all that the Secret holds is in force; and let go of keys that nothing needs and of times to
    come."""
    secret = world.children.get(SECRET, names.credentials_secret(world.name))
    assert secret is not None  # noqa: S101 - the credentials were read from it; for the type checker
    version = secret["metadata"]["resourceVersion"]
    if rotating.is_due(world, credentials) and rotating.hindrance(world) is None:
        return [RotateCredentials(credentials, version)]
    tidy = tidied(credentials, world.now)
    return [WriteCredentials(tidy, version)] if tidy is not None else []


def _database(world: World, credentials: Credentials) -> list[Step]:
    steps: list[Step] = []
    server, spec = world.target.server.name, world.database_spec(credentials)
    placement = world.record.placement
    if world.database.tombstone and placement is not None:
        return [RestoreDatabase(server, placement.proof(world.target.identity.uid)), _told_restored(world)]
    differs = differences(spec, world.database)
    if differs:
        steps.append(EnsureDatabase(server, spec, differs))
    elif placement is not None and placement.database_oid is None:
        steps.append(RecordPlacement(_placement(world, world.database.oid)))
    if differs or not passwords_in_force(world, credentials):
        steps.append(SetPasswords(server, spec, credentials))
        steps.append(ApplyObject(desire.migrator_secret(world, credentials, desire.marks(world)), CREDENTIALS_READY))
        steps.append(Register(_row(world), _secrets(credentials)))
    elif world.row is not None and world.row.database != _app_connection(world):
        steps.append(Register(_row(world)))
    return steps


def _told_restored(world: World) -> Tell:
    name = desire.database_name(world)
    return Tell("Normal", "DatabaseRestored", f"database {name} on {world.target.server.name} was retained and is back")


def _secrets(credentials: Credentials) -> RowSecrets:
    return RowSecrets(credentials.app_password, credentials.signing_keys, newest_key=True, login=credentials.login)


def passwords_in_force(world: World, credentials: Credentials) -> bool:
    """Tell whether what the Secret holds was set and registered: the row and the migrator's Secret, written last,
    say the same, and nobody changed it in Postgres since."""
    known, live = world.record.secrets, desire.live_migrator_secret(world)
    if known is None or live is None or world.reading.refused:
        return False
    registered = replace(known, newest_key=True) == _secrets(credentials)
    wanted = desire.migrator_secret(world, credentials, NO_MARKS)
    return registered and known.newest_key and (live.get("data") or {}) == wanted["data"]


def _credentials(world: World, credentials: Credentials) -> list[Step]:
    """Keep labels and owners of the Secrets; what they hold is settled by now."""
    wanted = [desire.credentials_secret(world, credentials)]
    if not migrating.is_done(world):
        wanted.append(desire.migrator_secret(world, credentials, desire.marks(world)))
    return _applied(world, wanted, CREDENTIALS_READY)


def _applied(world: World, wanted: list[Manifest], condition: str) -> list[Step]:
    steps: list[Step] = []
    for manifest in wanted:
        live = world.children.get(kind_of(manifest), name_of(manifest))
        if live is not None and not is_owned_by(live, world.uid):
            steps.append(_delete(live, condition))  # an earlier tenant of this name left it; another round applies
        elif not is_current(live, manifest):
            steps.append(ApplyObject(manifest, condition))
    return steps


def _delete(live: Object, condition: str) -> DeleteObject:
    return DeleteObject(kind_of(live), name_of(live), live["metadata"]["uid"], condition)


# Route and capacity


def _route(world: World) -> list[Step]:
    wanted = desire.routes(world)
    keep = {name_of(manifest) for manifest in wanted}
    extra = [live for live in world.children.owned(INGRESS, world.uid) if name_of(live) not in keep]
    return [*_applied(world, wanted, ROUTE_READY), *(_delete(live, ROUTE_READY) for live in extra)]


def _capacity(world: World) -> list[Step]:
    """Apply the tenant's own capacity, or remove it once no host leads there any more."""
    wanted = desire.own_capacity(world)
    if wanted:
        return _applied(world, wanted, CAPACITY_READY)
    if world.target.spec.placement == "Dedicated" or _applied(world, desire.routes(world), ROUTE_READY):
        return []
    name = names.dedicated(world.name)
    left = [live for kind in desire.DEDICATED_KINDS for live in world.children.owned(kind, world.uid)]
    return [_delete(live, CAPACITY_READY) for live in left if name_of(live) == name]


def _serve(world: World) -> list[Step]:
    """Open the tenant to people, last of all."""
    wanted = _row(world)
    return [] if wanted == world.row else [Register(wanted)]

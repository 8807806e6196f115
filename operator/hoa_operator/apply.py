"""Carries steps out. It never decides: a step that cannot be taken as planned raises, and is planned anew."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, assert_never

import structlog

from hoa_operator import events, labelling, names, steps
from hoa_operator.errors import HostLeaving, HostTaken, OperatorError, UserError, WorldError
from hoa_operator.events import Event
from hoa_operator.kinds import SECRET, TENANT, Object, is_owned_by, kind_of, labels_of, name_of
from hoa_operator.kube import Conflict
from hoa_operator.manifests.secrets import Credentials, credentials_patch, credentials_secret
from hoa_operator.observe import server_named
from hoa_operator.rotation import Fresh, rotated
from hoa_operator.sealing import generate_signing_key
from hoa_operator.signing import encode_signing_keys
from hoa_operator.target import attributed
from hoa_operator.tenant import asked_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from hoa_operator.cache import Cache, Change
    from hoa_operator.kube import Kube
    from hoa_operator.manifests.meta import Family, Manifest
    from hoa_operator.observe import Sources
    from hoa_operator.postgres import PostgresServer
    from hoa_operator.registry_model import RegistryRow
    from hoa_operator.steps import Step
    from hoa_operator.tenant import Identity

log = structlog.get_logger()


@dataclass(frozen=True)
class Doors:
    """Where steps act. `epoch` is this leader's term: the registry refuses older ones.

    `tell` hears of changes to what people wrote, which may be what others wait for.
    """

    sources: Sources
    kube: Kube
    epoch: int
    tell: Callable[[Change], None]


@dataclass(frozen=True)
class Subject:
    """Whom steps are about."""

    identity: Identity
    family: Family
    now: datetime


async def apply(doors: Doors, subject: Subject, step: Step) -> None:
    """Carry out one step; raise `StepFailed` that names the step's condition."""
    with attributed(step.condition):
        await _apply(doors, subject, step)


async def _apply(doors: Doors, subject: Subject, step: Step) -> None:
    match step:
        case steps.AddFinalizer() | steps.RemoveFinalizer():
            await _finalizer(doors, subject, present=isinstance(step, steps.AddFinalizer))
        case steps.ApplyObject(manifest):
            await apply_object(doors, manifest)
        case steps.DeleteObject():
            await delete_object(doors, step)
        case steps.MintCredentials() | steps.RotateCredentials() | steps.WriteCredentials():
            await _credentials(doors, subject, step)
        case steps.EnsureDatabase() | steps.SetPasswords():
            await _database(doors, step)
        case steps.Tell(kind, reason, message, once):
            await _event(doors, subject, Event(kind, reason, message, once=once))
        case steps.AdoptData() | steps.RestoreDatabase():
            await _return(doors, step)
        case steps.Suspend():
            await _suspend(doors, step)
        case steps.ClaimDatabase() | steps.Tombstone() | steps.DropDatabase():
            await _removal(doors, step)
        case _:
            await _registry(doors, step)


async def _registry(
    doors: Doors, step: steps.Register | steps.RecordPlacement | steps.Retire | steps.StopServing | steps.Forget
) -> None:
    registry, epoch = doors.sources.registry, doors.epoch
    match step:
        case steps.Register(row, known):
            sealer = doors.sources.sealer
            if known is not None:
                row = replace(
                    row,
                    sealed_password=sealer.keep_or_seal(row.sealed_password, known.app_password.encode()),
                    sealed_signing_keys=sealer.keep_or_seal(row.sealed_signing_keys, known.signing_keys.encode()),
                )
            await _register(doors, row)
        case steps.RecordPlacement(placement):
            await registry.record_placement(placement, epoch)
        case steps.Retire(retirement):
            await registry.retire(retirement, epoch)
            doors.sources.places.release(str(retirement.tenant_id))
            doors.sources.usage.forget(retirement.tenant_id)
        case steps.StopServing(tenant_id):
            await registry.set_state(tenant_id, "Deleting", epoch)
        case steps.Forget(tenant_id, dropped):
            await registry.forget(tenant_id, epoch, dropped=dropped)
            doors.sources.places.release(str(tenant_id))
            doors.sources.usage.forget(tenant_id)
        case _:
            assert_never(step)


async def _register(doors: Doors, row: RegistryRow) -> None:
    """Write the row; a host that its holder is about to give up is worth waiting for."""
    try:
        await doors.sources.registry.upsert(row, doors.epoch)
    except HostTaken as taken:
        holder = doors.sources.cache.get(TENANT, taken.owner.partition("/")[2])
        if holder is None or taken.host in asked_hosts(holder, doors.sources.settings.route.base_domain):
            raise
        raise HostLeaving(taken.host, taken.owner) from taken


async def _database(doors: Doors, step: steps.EnsureDatabase | steps.SetPasswords) -> None:
    server = server_named(doors.sources.cache, step.server)
    async with doors.sources.fleet.door(server) as door:
        match step:
            case steps.EnsureDatabase(_, spec):
                await door.ensure_roles(spec)
                await door.ensure_database(spec)
                await door.ensure_grants(spec)
                await door.ensure_settings(spec)
            case steps.SetPasswords(_, spec):
                await door.set_passwords(spec)
            case _:
                assert_never(step)


async def _return(doors: Doors, step: steps.AdoptData | steps.RestoreDatabase) -> None:
    server = server_named(doors.sources.cache, step.server)
    async with doors.sources.fleet.door(server) as door:
        match step:
            case steps.AdoptData():
                await _adopt(doors, door, step)
            case steps.RestoreDatabase(_, proof):
                await door.restore_from_tombstone(proof)
            case _:
                assert_never(step)


async def _suspend(doors: Doors, step: steps.Suspend) -> None:
    """Change the state first: who is there sees a page that says so, not the end of a session."""
    await doors.sources.registry.set_state(step.identity.tenant_id, "Suspended", doors.epoch)
    if step.server is not None:
        async with doors.sources.fleet.door(server_named(doors.sources.cache, step.server)) as door:
            await door.shut_out(step.identity)


async def _adopt(doors: Doors, door: PostgresServer, step: steps.AdoptData) -> None:
    registry, tenant_id = doors.sources.registry, step.proof.tenant_id
    elsewhere = f"the data of tenant {tenant_id} was claimed, taken over or dropped meanwhile"
    if not await registry.claim(tenant_id, step.heir, step.void, doors.epoch):
        raise Conflict(elsewhere)
    await door.adopt(step.proof, step.identity)
    if not await registry.adopt(tenant_id, step.heir, doors.epoch):
        raise Conflict(elsewhere)


async def _removal(doors: Doors, step: steps.ClaimDatabase | steps.Tombstone | steps.DropDatabase) -> None:
    server = server_named(doors.sources.cache, step.server)
    async with doors.sources.fleet.door(server) as door:
        match step:
            case steps.ClaimDatabase(_, proof, identity):
                await door.adopt(proof, identity)
            case steps.Tombstone(_, proof, deleted_at):
                await door.tombstone(proof, deleted_at)
            case steps.DropDatabase(_, proof):
                await door.drop(proof)
            case _:
                assert_never(step)


async def _finalizer(doors: Doors, subject: Subject, *, present: bool) -> None:
    body = doors.sources.cache.get(TENANT, subject.identity.name)
    if body is None:
        raise Conflict(f"HOATenant {subject.identity} is gone")
    if present and await doors.kube.is_leaving():
        raise WorldError("NamespaceLeaves", "the namespace is being deleted: nothing is made in it any more")
    others = [name for name in body["metadata"].get("finalizers") or () if name != names.FINALIZER]
    wanted = [*others, names.FINALIZER] if present else others
    patch = {"metadata": {"finalizers": wanted, "resourceVersion": body["metadata"]["resourceVersion"]}}
    after = await patch_source(doors, body, patch)
    if "deletionTimestamp" in after["metadata"] and not after["metadata"].get("finalizers"):
        _tell(doors, doors.sources.cache.forget_uid(TENANT, name_of(after), after["metadata"]["uid"]))


async def patch_source(doors: Doors, body: Object, patch: Mapping[str, Any], subresource: str = "") -> Object:
    """Patch an object that a person made, and remember what became of it; a stale view is read again."""
    kind = kind_of(body)
    try:
        after = await doors.kube.patch(kind, name_of(body), patch, subresource)
    except Conflict:
        live = await doors.kube.get(kind, name_of(body))
        cache, uid = doors.sources.cache, body["metadata"]["uid"]
        _tell(doors, cache.observe(kind, live) if live is not None else cache.forget_uid(kind, name_of(body), uid))
        raise
    _tell(doors, doors.sources.cache.observe(kind, after))
    return after


def _tell(doors: Doors, change: Change | None) -> None:
    if change is not None:
        doors.tell(change)


async def _event(doors: Doors, subject: Subject, event: Event) -> None:
    body = doors.sources.cache.get(TENANT, subject.identity.name)
    if body is not None:
        await tell(doors, events.manifest(body, event, doors.sources.settings.pod_name, subject.now))


async def tell(doors: Doors, event: Manifest) -> None:
    """Post an Event; that it could not be told is no reason to fail."""
    try:
        await doors.kube.create(event)
    except OperatorError as error:
        log.info("event not posted", reason=error.reason, message=error.message)


async def apply_object(doors: Doors, manifest: Manifest) -> None:
    """Apply a child over what was seen of it last; an object of that name that is not the operator's, or is another tenant's,
    stays untouched. One that is not seen because it has lost its labels has them back, and `Relabelled` is raised.

    A request over what was seen that is on its way while another operator takes the lead, and arrives late, changes nothing.
    The first one, over nothing, has no version to carry: ADR 0008 says what that means.
    """
    kind, cache = kind_of(manifest), doors.sources.cache
    seen = cache.get(kind, name_of(manifest))
    if seen is None:
        await _adopt_or_refuse(doors, manifest)
        cache.observe(kind, await doors.kube.apply(manifest))
        return
    _refuse_anothers(cache, seen, manifest)
    known = {key: seen["metadata"][key] for key in ("uid", "resourceVersion")}
    try:
        after = await doors.kube.apply({**manifest, "metadata": {**manifest["metadata"], **known}})
    except (Conflict, UserError):
        await _see_again(doors, seen)
        raise
    cache.observe(kind, after)


def _refuse_anothers(cache: Cache, seen: Object, manifest: Manifest) -> None:
    """Refuse to take over what another HOATenant owns that there is: names are made of two, and two pairs can make one."""
    for owner in seen["metadata"].get("ownerReferences") or ():
        other = cache.get(TENANT, owner["name"]) if owner["kind"] == TENANT.kind else None
        if other is not None and other["metadata"]["uid"] == owner["uid"] and not is_owned_by(manifest, owner["uid"]):
            raise UserError(
                "NameTaken",
                f"{manifest['kind']} {name_of(manifest)} is HOATenant {owner['name']}'s and was left as it is; give this "
                "HOATenant another name, or its domains an issuer of another name, and annotate it with "
                f"{names.ANNOTATION_RETRY}=now",
            )


async def _see_again(doors: Doors, seen: Object) -> None:
    """Read what was refused to be applied over; raise `Conflict` if that is another object by now, or none."""
    kind, cache = kind_of(seen), doors.sources.cache
    live = await doors.kube.get(kind, name_of(seen))
    if live is not None and live["metadata"]["uid"] == seen["metadata"]["uid"]:
        cache.observe(kind, live)
        return
    cache.forget_uid(kind, name_of(seen), seen["metadata"]["uid"])
    raise Conflict(f"{kind.kind} {name_of(seen)} is gone, or was made anew")


async def _adopt_or_refuse(doors: Doors, manifest: Manifest) -> None:
    kind = kind_of(manifest)
    live = await doors.kube.get(kind, name_of(manifest))
    if live is None:
        return
    if labelling.is_made_for(live, manifest):
        await labelling.put_back(doors.kube, doors.sources.cache, live, manifest)
    elif labels_of(live).get(names.LABEL_MANAGED_BY) != names.MANAGED_BY:
        raise UserError(
            "NameTaken",
            f"{kind.kind} {name_of(manifest)} exists and is not the operator's; rename or delete it, and annotate the "
            f"HOATenant with {names.ANNOTATION_RETRY}=now",
        )
    doors.sources.cache.observe(kind, live)
    raise Conflict(f"{kind.kind} {name_of(manifest)} was there already")


async def delete_object(doors: Doors, step: steps.DeleteObject) -> None:
    """Delete an object and forget it, or see that it only began to go."""
    await doors.kube.delete(step.kind, step.name, step.uid)
    live = await doors.kube.get(step.kind, step.name)
    if live is not None and live["metadata"]["uid"] == step.uid:
        doors.sources.cache.observe(step.kind, live)
    else:
        doors.sources.cache.forget_uid(step.kind, step.name, step.uid)


async def _credentials(
    doors: Doors, subject: Subject, step: steps.MintCredentials | steps.RotateCredentials | steps.WriteCredentials
) -> None:
    match step:
        case steps.MintCredentials():
            await _mint(doors, subject, step)
        case steps.RotateCredentials(old, version):
            fresh = Fresh(_password(), _password(), generate_signing_key(subject.now))
            await _rewrite(doors, subject, rotated(old, fresh), version)
        case steps.WriteCredentials(wanted, version):
            await _rewrite(doors, subject, wanted, version)
        case _:
            assert_never(step)


async def _mint(doors: Doors, subject: Subject, step: steps.MintCredentials) -> None:
    """Create, never overwrite: passwords that are in use must not be replaced by new ones."""
    known = step.known
    minted = Credentials(
        app_password=known.app_password if known else _password(),
        migrator_password=_password(),
        signing_keys=known.signing_keys if known else encode_signing_keys([generate_signing_key(subject.now)]).decode(),
        login=step.login,
    )
    manifest = credentials_secret(subject.family, names.credentials_secret(subject.identity.name), minted)
    kind = kind_of(manifest)
    if step.replaces is not None:
        await doors.kube.delete(kind, name_of(manifest), step.replaces)
        doors.sources.cache.forget_uid(kind, name_of(manifest), step.replaces)
    live = await doors.kube.get(kind, name_of(manifest))
    if live is None:
        live = await doors.kube.create(manifest)
    elif not is_owned_by(live, str(subject.identity.uid)):
        raise UserError("NameTaken", f"Secret {name_of(manifest)} exists and is not this tenant's; rename or delete it")
    else:
        await labelling.put_back(doors.kube, doors.sources.cache, live, manifest)
    doors.sources.cache.observe(kind, live)


async def _rewrite(doors: Doors, subject: Subject, wanted: Credentials, version: str) -> None:
    """Change what the credentials Secret holds by one write that fails if anybody wrote since."""
    name, cache = names.credentials_secret(subject.identity.name), doors.sources.cache
    patch = {"metadata": {"resourceVersion": version}, "data": credentials_patch(wanted)}
    try:
        cache.observe(SECRET, await doors.kube.patch(SECRET, name, patch))
    except (Conflict, WorldError) as refused:
        if not isinstance(refused, Conflict) and refused.reason != "NotFound":
            raise
        known, live = cache.get(SECRET, name), await doors.kube.get(SECRET, name)
        if live is not None:
            cache.observe(SECRET, live)
        elif known is not None:
            cache.forget_uid(SECRET, name, known["metadata"]["uid"])
        raise Conflict(f"Secret {name} is not what it was") from refused


def _password() -> str:
    return secrets.token_urlsafe(32)

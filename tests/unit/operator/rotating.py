"""A tenant before, in the middle of and after a rotation of its credentials."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

from hoa_operator import desire
from hoa_operator.manifests.secrets import Marks
from hoa_operator.plan import plan
from hoa_operator.postgres import desired, names
from hoa_operator.postgres.model import DatabaseSpec, ObservedDatabase, ObservedRole
from hoa_operator.rotation import Fresh, rotated
from hoa_operator.signing import SigningKey
from hoa_operator.world import World
from tests.unit.operator.samples import (
    CREDENTIALS,
    NOW,
    Json,
    live,
    secrets_of,
    served,
    tenant_body,
    with_objects,
)

DAY = timedelta(days=1)
ROTATED_AT = CREDENTIALS.rotated_at
NEW = rotated(CREDENTIALS, Fresh("new-app", "new-migrator", SigningKey("two", bytes(32), NOW - DAY / 24)))


def wishing(**credentials: str) -> World:
    """Return a served tenant with a wish about its credentials."""
    return served(tenant_body(credentials=credentials))


def half_done(**changes: object) -> World:
    """Return a served tenant just after the one write of the Secret."""
    base = served()
    return with_objects(base, live(desire.credentials_secret(base, NEW)), **changes)


def done(seconds_ago: float, *, other_open: bool = True) -> World:
    """Return the tenant `seconds_ago` after the registry named the new login."""
    base = half_done()
    assert base.row is not None
    database = {**base.row.database, "username": f"hoa_connect_tenant_{base.target.tenant_id.hex}_app_b"}
    age = timedelta(seconds=seconds_ago)
    row = replace(base.row, database=database, login_since=NOW - age, login_age=age)
    record = replace(base.record, row=row, secrets=secrets_of(NEW))
    fresh = replace(base, record=record)
    spec = replace(fresh.database_spec(NEW), overlapping=other_open)
    migrator = live(desire.migrator_secret(fresh, NEW, Marks(desire.purpose(fresh))))
    return with_objects(fresh, migrator, database=observed(fresh, spec))


def observed(base: World, spec: DatabaseSpec) -> ObservedDatabase:
    """Return the database of `base` as `spec` wants it."""
    roles = {
        kind: ObservedRole(
            exists=True,
            identity=spec.identity,
            can_login=desired.can_login(spec, kind),
            connection_limit=desired.connection_limit(spec, kind),
            inherits=desired.inherits(kind),
            member_of=tuple(desired.memberships(spec, kind)),
            can_connect=True,
            settings=desired.settings(spec, kind),
        )
        for kind in names.ROLE_KINDS
    }
    return replace(base.database, roles=MappingProxyType(roles))


def all_of(base: World) -> list[Json]:
    return [dict(item) for items in base.children.by_kind.values() for item in items]


def kinds(base: World) -> list[type]:
    return [type(step) for step in plan(base).steps]

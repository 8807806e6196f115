"""A new HOATenant that takes over retained data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest

from hoa_operator.adoption import retained
from hoa_operator.errors import UserError
from hoa_operator.plan import plan
from hoa_operator.steps import AdoptData, RestoreDatabase, Tell
from hoa_operator.tenant import parse_identity
from hoa_operator.world import Record
from tests.unit.operator.samples import NOW, OID, SYSTEM, UID, placement, row_of, served, tenant_body, world

if TYPE_CHECKING:
    from hoa_operator.registry import Registry
    from hoa_operator.registry_model import Placement, RegistryRow

OLD = UUID(int=5)
KEPT = row_of(world(), tenant_id=OLD, uid=OLD, state="Deleted")
PLACE = replace(placement(), tenant_id=OLD, deleted_at=NOW)


class Rows:
    """A registry that holds these rows, and where the retained data lies."""

    def __init__(self, *rows: RegistryRow, place: Placement | None = PLACE) -> None:
        self._rows, self._place = rows, place

    async def by_tenant_id(self, tenant_id: UUID) -> RegistryRow | None:
        return next((row for row in self._rows if row.tenant_id == tenant_id), None)

    async def placement(self, _: UUID) -> Placement | None:
        return self._place

    async def rows(self) -> list[RegistryRow]:
        return list(self._rows)


async def found(wanted: str | None, *rows: RegistryRow, **place: Any) -> Record:
    annotations = {"hoaconnect.com/adopt-tenant-id": wanted} if wanted else {}
    identity = parse_identity(tenant_body(meta={"annotations": annotations}))
    return await retained(cast("Registry", Rows(*rows, **place)), identity)


async def test_who_asks_for_nothing_gets_nothing() -> None:
    assert await found(None, KEPT) == Record(None, None, None)


async def test_retained_data_is_found_by_its_tenant_id() -> None:
    assert await found(str(OLD), KEPT) == Record(None, PLACE, None, KEPT)


@pytest.mark.parametrize(
    ("wanted", "rows", "place"),
    [
        ("seabreeze", (KEPT,), PLACE),
        (str(UUID(int=6)), (KEPT,), PLACE),
        (str(OLD), (replace(KEPT, state="Active"),), PLACE),
        (str(OLD), (KEPT,), None),
    ],
)
async def test_what_is_not_retained_is_not_given(
    wanted: str, rows: tuple[RegistryRow, ...], place: Placement | None
) -> None:
    with pytest.raises(UserError, match="kubectl describe hoads lists what is") as caught:
        await found(wanted, *rows, place=place)
    assert caught.value.reason == "NothingToAdopt"


async def test_data_does_not_come_back_while_another_is_in_its_place() -> None:
    other = replace(KEPT, tenant_id=UUID(int=9), uid=UUID(int=9), state="Active", name="other")
    with pytest.raises(UserError, match="while HOATenant hoa-connect/other is in its place; delete that one"):
        await found(str(OLD), KEPT, other)
    assert (await found(str(OLD), KEPT, replace(other, state="Deleted"))).kept == KEPT


def test_the_owner_changes_with_proof_of_the_owner_before() -> None:
    base = served()
    kept = replace(row_of(world()), uid=OLD, state="Deleted")
    base = replace(base, record=Record(None, placement(), None, kept))
    (step,) = plan(base).steps
    assert isinstance(step, AdoptData)
    assert (step.proof.uid, step.proof.database_oid, step.proof.system_identifier) == (OLD, OID, SYSTEM)
    assert (step.identity.tenant_id, step.identity.uid) == (UUID(UID), UUID(UID))


def test_other_data_than_was_retained_is_not_taken_over() -> None:
    base = served()
    kept = replace(row_of(world()), uid=OLD, state="Deleted")
    record = Record(None, placement(), None, kept)
    with pytest.raises(UserError) as caught:
        plan(replace(base, record=record, database=replace(base.database, oid=7)))
    assert caught.value.reason == "DatabaseLost"


def test_the_database_gets_its_name_back_before_anything_else_is_done_to_it() -> None:
    base = served()
    database = replace(base.database, tombstone=True, allow_connections=False)
    restore, told = plan(replace(base, database=database)).steps
    assert isinstance(restore, RestoreDatabase)
    assert restore.proof.uid == UUID(UID)
    assert isinstance(told, Tell)
    assert told.reason == "DatabaseRestored"

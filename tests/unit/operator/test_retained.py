"""What a server's status lists of deleted tenants."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hoa_operator.registry_model import Placement, RegistryRow
from hoa_operator.retained import by_server, listed
from tests.unit.operator.samples import NOW, placement, row_of, world


def kept(number: int, server: str = "default", hours: int = 0) -> tuple[RegistryRow, Placement]:
    tenant_id = UUID(int=number)
    row = row_of(world(), tenant_id=tenant_id, name=f"t{number}", state="Deleted")
    deleted_at = NOW + timedelta(hours=hours)
    return row, replace(placement(), tenant_id=tenant_id, server_name=server, deleted_at=deleted_at)


def test_each_server_lists_its_own_latest_first() -> None:
    found = by_server([kept(1), kept(2, hours=2), kept(3, "other")], {})
    assert [entry["tenant"] for entry in found["default"]] == ["t2", "t1"]
    assert found["other"] == [
        {
            "name": f"hoa_connect_deleted_{UUID(int=3).hex}",
            "tenant": "t3",
            "tenantID": str(UUID(int=3)),
            "retainedAt": "2026-11-23T12:00:00Z",
        }
    ]


def test_a_row_without_data_is_not_listed() -> None:
    assert by_server([(kept(1)[0], None)], {}) == {}


def test_the_rest_of_the_status_stays_and_nothing_is_said_of_nothing() -> None:
    entries = by_server([kept(n) for n in range(130)], {})["default"]
    full = listed({"tenants": 3}, entries)
    assert (full["tenants"], full["retained"], len(full["retainedDatabases"])) == (3, 130, 100)
    assert listed(full, []) == {"tenants": 3}


def test_what_could_not_be_dropped_comes_first_with_its_time_and_the_reason() -> None:
    row, place = kept(1)
    due = row, replace(place, drop_after=NOW + timedelta(hours=1))
    first, second = by_server([kept(2, hours=9), due], {UUID(int=1): "OwnershipNotProven: x"})["default"]
    assert (first["tenant"], first["dropAfter"], first["problem"]) == (
        "t1",
        "2026-11-23T13:00:00Z",
        "OwnershipNotProven: x",
    )
    assert {"dropAfter", "problem", "droppingSince"}.isdisjoint(second)


def test_what_is_being_dropped_says_since_when() -> None:
    row, place = kept(1)
    begun = replace(place, drop_after=NOW, dropping_since=NOW + timedelta(seconds=5))
    assert by_server([(row, begun)], {})["default"][0]["droppingSince"] == "2026-11-23T12:00:05Z"

"""Storage: what is told of it, that a figure which wobbles is told once, and what it means."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoa_operator import events, status, storage
from hoa_operator.plan import plan
from hoa_operator.publish import difference
from hoa_operator.status import Report, build
from hoa_operator.storage import MEBIBYTE, Storage
from hoa_operator.world import Reading, World
from tests.unit.operator.samples import NOW, served, tenant_body, usage

Json = dict[str, Any]
GIB = 1024 * MEBIBYTE


@functools.cache
def _served(limit: str) -> World:
    return served(tenant_body(limits={"storage": limit}))


def holding(files: int, limit: str = "10Gi") -> World:
    """Return a served tenant whose files have so many bytes."""
    base = _served(limit)
    return replace(base, reading=Reading(usage(files=files)))


def looked(base: World, before: Json) -> Json:
    """Return the status after a look at a tenant whose status was `before`."""
    base = replace(base, body={**base.body, "status": before})
    return build(Report(base.target.identity, before, NOW, world=base, plan=plan(base)))


def life(*files: int, limit: str = "10Gi") -> tuple[list[str], list[tuple[str, str]]]:
    """Return the condition's reasons and the Events of a tenant whose files grow and shrink like that."""
    before: Json = {}
    reasons: list[str] = []
    told: list[tuple[str, str]] = []
    for size in files:
        after = looked(holding(size, limit), before)
        told += [(e.kind, e.reason) for e in events.transitions(before, after) if e.reason.startswith("Storage")]
        found = status.condition(after, "StorageWithinLimit")
        assert found is not None
        reasons.append(found["reason"])
        before = after
    return reasons, told


def test_the_figures_are_told_in_the_limits_that_hold() -> None:
    told = looked(holding(5 * GIB), {})["storage"]
    assert told == {"used": "5131Mi", "database": "11Mi", "files": "5120Mi", "limit": "10Gi", "percent": 50}


def test_each_crossing_is_told_once() -> None:
    reasons, told = life(GIB, 8 * GIB, 8 * GIB, 9 * GIB, 10 * GIB, 10 * GIB, 9 * GIB, 7 * GIB, GIB)
    assert reasons == [
        "WithinLimit", "NearLimit", "NearLimit", "NearLimit", "Full", "Full", "NearLimit", "WithinLimit", "WithinLimit",
    ]  # fmt: skip
    assert told == [
        ("Warning", "StorageNearLimit"),
        ("Warning", "StorageFull"),
        ("Warning", "StorageNearLimit"),
        ("Normal", "StorageRelieved"),
    ]


def test_what_hovers_at_a_boundary_is_told_once() -> None:
    near = 8 * GIB
    reasons, told = life(near, near - 20 * MEBIBYTE, near, near - 50 * MEBIBYTE, near)
    assert set(reasons) == {"NearLimit"}
    assert told == [("Warning", "StorageNearLimit")]


def test_a_storage_in_which_no_upload_fits_is_full() -> None:
    nearly = 10 * GIB - 11 * MEBIBYTE
    assert life(nearly - 10 * MEBIBYTE, nearly - 9 * MEBIBYTE)[0] == ["NearLimit", "Full"]
    full = looked(holding(10 * GIB), {})
    found = status.condition(full, "StorageWithinLimit")
    assert found is not None
    assert found["status"] == "False"
    assert "uploads larger than the room left (about 0 MiB) are refused, everything else goes on" in found["message"]
    some = status.condition(looked(holding(10 * GIB - 16 * MEBIBYTE), {}), "StorageWithinLimit")
    assert some is not None
    assert "uploads larger than the room left (about 5 MiB) are refused" in some["message"]
    assert "spec.limits.storage (now 10Gi)" in found["message"]
    ready = status.condition(full, "Ready")
    assert ready is not None
    assert ready["status"] == "True"


def test_a_limit_of_the_tier_names_the_tier() -> None:
    full = looked(replace(served(tenant_body()), reading=Reading(usage(files=10 * GIB))), {})
    found = status.condition(full, "StorageWithinLimit")
    assert found is not None
    assert "spec.limits.storage (now 10Gi, from tier small)" in found["message"]


def test_a_larger_limit_relieves_at_once() -> None:
    before = looked(holding(10 * GIB), {})
    after = looked(holding(10 * GIB, "20Gi"), before)
    found = status.condition(after, "StorageWithinLimit")
    assert found is not None
    assert (found["status"], found["reason"], after["storage"]["limit"]) == ("True", "WithinLimit", "20Gi")


def test_before_it_is_measured_nothing_is_said_and_afterwards_what_was_known_stays() -> None:
    unknown = replace(served(), reading=Reading())
    assert "storage" not in looked(unknown, {})
    assert status.condition(looked(unknown, {}), "StorageWithinLimit") is None
    before = looked(holding(9 * GIB), {})
    after = looked(unknown, before)
    assert after["storage"] == before["storage"]
    assert status.condition(after, "StorageWithinLimit") == status.condition(before, "StorageWithinLimit")


def test_a_status_of_an_earlier_operator_is_read_as_nothing() -> None:
    assert storage.from_status("12Mi") is None
    assert looked(holding(GIB), {"storage": "12Mi"})["storage"]["files"] == "1024Mi"


SIZES = st.integers(min_value=0, max_value=20 * GIB)


@settings(deadline=None, max_examples=30)
@given(start=SIZES, wobbles=st.lists(st.integers(min_value=-4 * MEBIBYTE, max_value=4 * MEBIBYTE), max_size=5))
def test_a_figure_that_wobbles_writes_nothing_after_it_was_told(start: int, wobbles: list[int]) -> None:
    first = looked(holding(start), {})
    # A boundary that is crossed while it wobbles is told; from then on nothing is.
    for wobble in wobbles:
        first = looked(holding(max(0, start + wobble)), first)
    told = first
    for wobble in wobbles:
        told_again = looked(holding(max(0, start + wobble)), told)
        assert difference(told, told_again) == {}


@settings(deadline=None)
@given(database=SIZES, files=SIZES, limit=st.integers(min_value=GIB, max_value=64 * GIB))
def test_what_is_told_is_read_back(database: int, files: int, limit: int) -> None:
    told = storage.told(Storage(database, files, limit), None, None)
    assert storage.from_status(told.to_status()) == told
    assert 0 <= told.database - database < MEBIBYTE
    assert (
        storage.told(Storage(database, files, limit), told, storage.level(told, None)).to_status() == told.to_status()
    )


@pytest.mark.parametrize("before", [None, "WithinLimit", "NearLimit", "Full"])
@settings(deadline=None)
@given(used=SIZES)
def test_full_and_near_begin_where_they_are_said_to(before: str | None, used: int) -> None:
    found = storage.level(Storage(0, used, 10 * GIB), before)
    if used >= 10 * GIB:
        assert found == "Full"
    elif used >= 8 * GIB:
        assert found in ("NearLimit", "Full")
    elif used < 7.7 * GIB:
        assert found == "WithinLimit"

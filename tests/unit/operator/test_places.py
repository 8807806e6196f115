"""Placing many tenants at once: spread over the servers, and never more than a server takes."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from hoa_operator.cache import Cache
from hoa_operator.errors import UserError
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.observe import surroundings
from hoa_operator.places import Places
from hoa_operator.servers import PlacementRequest, choose
from tests.unit.operator.samples import server_body, tenant_body


def uid(number: int) -> str:
    return str(UUID(int=number))


def cluster(tenants: int, most: int, **status: Any) -> Cache:
    cache = Cache()
    for name in ("a", "b"):
        cache.observe(SERVER, server_body(name, capacity={"maxTenants": most}))
    for number in range(tenants):
        meta = {"uid": uid(number), "resourceVersion": str(number + 1)}
        cache.observe(TENANT, {**tenant_body(f"t{number}", meta=meta), "status": status})
    return cache


def put(cache: Cache, places: Places, number: int) -> str:
    around = surroundings(cache, places, {}, but=uid(number))
    request = PlacementRequest(None, None, None, places.given(uid(number)))
    server = choose(request, around.servers, around.load).name
    places.give(uid(number), server)
    return server


def test_tenants_placed_before_any_status_is_written_are_spread_and_bounded() -> None:
    cache, places = cluster(20, most=4), Places()
    assert Counter(put(cache, places, number) for number in range(8)) == {"a": 4, "b": 4}
    with pytest.raises(UserError) as caught:
        put(cache, places, 8)
    assert caught.value.reason == "DatabaseServerFull"
    assert put(cache, places, 3) in ("a", "b")


def test_one_that_gives_up_its_place_or_goes_makes_room() -> None:
    cache, places = cluster(4, most=1), Places()
    first, _ = put(cache, places, 0), put(cache, places, 1)
    places.release(uid(0))
    assert put(cache, places, 2) == first
    gone = cache.get(TENANT, "t1")
    assert gone is not None
    cache.forget(TENANT, gone)
    assert put(cache, places, 3) != first


def test_what_registry_and_status_know_counts_once() -> None:
    there = {uid(0): "a"}
    cache = cluster(1, most=9, tenantID=uid(0), database={"server": "a"})
    assert surroundings(cache, Places(), None, but="").load == {}
    assert surroundings(cache, Places(), there, but="").load == {"a": 1}
    assert surroundings(cache, Places(), there, but=uid(0)).load == {}
    assert surroundings(cache, Places(), {**there, uid(8): "b"}, but="").load == {"a": 1, "b": 1}

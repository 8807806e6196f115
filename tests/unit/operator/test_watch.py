"""Audits find what watches missed; usage is read often until the welcome mail is out, then rarely."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from hoa_operator.cache import Cache, Change
from hoa_operator.kinds import DEPLOYMENT, POD, SECRET, TENANT, WATCHED, Kind
from hoa_operator.usage import UsageBook
from hoa_operator.watch import DEAD_SECONDS, Auditor, WatchHealth, selector
from hoa_operator.world import Reading, Trouble
from tests.unit.operator.samples import UID, usage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Json = dict[str, Any]


class Server:
    """The API server's objects of all kinds."""

    def __init__(self, *items: Json) -> None:
        self.items = {item["metadata"]["name"]: item for item in items}

    async def pages(
        self, kind: Kind, labels: str = "", *, metadata_only: bool = False
    ) -> AsyncIterator[tuple[list[Json], int]]:
        for item in self.items.values() if kind is SECRET else ():
            yield [item], 1000
        yield [], 1000

    async def get(self, kind: Kind, name: str) -> Json | None:
        return self.items.get(name)


def secret(name: str, version: int = 1, uid: str = "") -> Json:
    return {"kind": "Secret", "metadata": {"name": name, "uid": uid or name, "resourceVersion": str(version)}}


def auditor(server: Server, cache: Cache) -> tuple[Auditor, list[Change]]:
    told: list[Change] = []
    return Auditor(server, cache, "hoa-connect", told.append), told  # type: ignore[arg-type]


async def test_the_cache_is_filled() -> None:
    cache = Cache()
    audit, told = auditor(Server(secret("a"), secret("b")), cache)
    await audit.fill()
    assert [item["metadata"]["name"] for item in cache.all(SECRET)] == ["a", "b"]
    assert len(told) == 2


async def test_a_watch_that_keeps_up_is_alive() -> None:
    server, cache = Server(secret("a")), Cache()
    audit, _ = auditor(server, cache)
    await audit.fill()
    server.items["a"] = secret("a", 2)
    assert await audit.audit(SECRET)
    cache.observe(SECRET, secret("a", 2))
    assert await audit.audit(SECRET)


async def test_a_watch_that_missed_the_same_thing_twice_is_dead() -> None:
    server, cache = Server(secret("a")), Cache()
    audit, _ = auditor(server, cache)
    await audit.fill()
    server.items["a"] = secret("a", 2)
    assert await audit.audit(SECRET)
    assert not await audit.audit(SECRET)
    cache.observe(SECRET, secret("a", 2))
    assert await audit.audit(SECRET)


async def test_a_deletion_that_was_missed_is_told() -> None:
    server, cache = Server(secret("a")), Cache()
    audit, told = auditor(server, cache)
    await audit.fill()
    server.items.clear()
    assert await audit.audit(SECRET)
    assert cache.all(SECRET) == []
    assert told[-1].after is None


async def test_a_successor_of_the_same_name_is_taken_in() -> None:
    server, cache = Server(secret("a", uid="old")), Cache()
    audit, _ = auditor(server, cache)
    await audit.fill()
    server.items["a"] = secret("a", 5, uid="new")
    await audit.audit(SECRET)
    found = cache.get(SECRET, "a")
    assert found is not None
    assert found["metadata"]["uid"] == "new"


async def test_what_is_listed_no_more_for_lack_of_a_label_is_seen_without_it() -> None:
    server, cache = Server(), Cache()
    audit, told = auditor(server, cache)
    cache.observe(SECRET, secret("a"))
    server.get = lambda kind, name: answer(secret("a", 2))  # type: ignore[method-assign]
    assert await audit.audit(SECRET)
    assert [change.latest["metadata"]["resourceVersion"] for change in told] == ["2"]


async def answer(item: Json) -> Json:
    return item


async def test_what_is_younger_than_the_listing_is_not_taken_for_gone() -> None:
    server, cache = Server(), Cache()
    audit, _ = auditor(server, cache)
    cache.observe(SECRET, secret("young", 2000))
    await audit.audit(SECRET)
    assert cache.get(SECRET, "young") is not None


def test_silence_that_lasts_is_death() -> None:
    health = WatchHealth(0.0)
    assert health.dead(DEAD_SECONDS) == []
    health.alive(TENANT, 100.0)
    dead = health.dead(DEAD_SECONDS + 1)
    assert "HOATenant" not in dead
    assert len(dead) == len(WATCHED) - 1


def test_only_ours_is_watched() -> None:
    assert selector(TENANT, "r") == ""
    assert selector(DEPLOYMENT, "r") == "app.kubernetes.io/instance=r"
    assert selector(SECRET, "r") == "app.kubernetes.io/instance=r,app.kubernetes.io/managed-by=hoa-operator"
    assert selector(POD, "r").endswith(",app.kubernetes.io/component=migration")


class Readings:
    """A database's usage that changes, and how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.mail = "Queued"
        self.refused = False
        self.trouble: Trouble | None = None

    async def __call__(self) -> Reading:
        self.asked += 1
        lost = self.refused or self.trouble is not None
        return Reading(None if lost else usage(self.mail), self.refused, self.trouble)


async def test_usage_is_read_often_at_first_then_rarely() -> None:
    now = 0.0
    readings = Readings()
    book = UsageBook(lambda: now, 300.0)
    tenant = UUID(UID)
    assert book.next_look(tenant) is None
    await book.read(tenant, readings)
    assert book.next_look(tenant) == 2.0
    await book.read(tenant, readings)
    assert readings.asked == 1
    now = 100.0
    await book.read(tenant, readings)
    assert (readings.asked, book.next_look(tenant)) == (2, 25.0)
    now, readings.mail = 200.0, "Sent"
    await book.read(tenant, readings)
    assert book.next_look(tenant) is None
    now = 499.0
    await book.read(tenant, readings)
    assert readings.asked == 3
    now = 501.0
    await book.read(tenant, readings)
    assert readings.asked == 4
    book.forget(tenant)
    await book.read(tenant, readings)
    assert readings.asked == 5


async def test_a_mail_that_never_goes_out_is_asked_for_as_rarely_as_all_else() -> None:
    now, readings, tenant = 0.0, Readings(), UUID(UID)
    book = UsageBook(lambda: now, 300.0)
    for _ in range(100):
        await book.read(tenant, readings)
        pause = book.next_look(tenant)
        assert pause is not None
        assert pause <= 300.001
        now += pause + 0.001
    assert readings.asked == 100, "it was time whenever it said so"
    assert now > 70 * 300.0


async def test_after_a_start_one_is_read_after_the_other() -> None:
    now = 1000.0
    readings, tenants = Readings(), [UUID(int=number) for number in range(100)]
    readings.mail = "Sent"
    book = UsageBook(lambda: now, 300.0)
    book.put_off(tenants)
    begin = now + 2.0
    assert await book.read(tenants[7], readings) == Reading(later=True)
    assert book.next_look(tenants[7]) == pytest.approx(begin + 0.7 - now)
    fresh = await book.read(UUID(UID), readings)
    assert (readings.asked, fresh.later) == (1, False), "whoever came since is read at once"
    now = begin + 0.701
    assert book.next_look(tenants[7]) is None, "it is time: no look is called for again and again"
    assert not (await book.read(tenants[7], readings)).later
    assert (await book.read(tenants[8], readings)).later
    book.hasten(tenants[8])
    assert not (await book.read(tenants[8], readings)).later
    book.forget(tenants[9])
    assert not (await book.read(tenants[9], readings)).later


async def test_after_a_start_all_are_read_within_an_interval() -> None:
    now, readings, tenants = 0.0, Readings(), [UUID(int=number) for number in range(6_000)]
    book = UsageBook(lambda: now, 300.0)
    book.put_off(tenants)
    now = 0.02 * len(tenants) + 300.0
    assert not (await book.read(tenants[-1], readings)).later


async def test_figures_that_cannot_be_read_stay_what_they_were() -> None:
    now = 0.0
    readings = Readings()
    readings.mail = "Sent"
    book = UsageBook(lambda: now, 300.0)
    tenant = UUID(UID)
    known = await book.read(tenant, readings)
    now, readings.trouble = 301.0, Trouble("UsageUnreadable", "somebody changed the view")
    assert await book.read(tenant, readings) == Reading(known.usage, trouble=readings.trouble)
    now = 600.0
    await book.read(tenant, readings)
    assert readings.asked == 2, "a view that stays broken is not asked more often than a sound one"


async def test_a_refused_password_is_tried_again_at_once() -> None:
    readings = Readings()
    book = UsageBook(lambda: 0.0, 300.0)
    readings.refused = True
    assert (await book.read(UUID(UID), readings)).refused
    readings.refused = False
    assert await book.read(UUID(UID), readings) == Reading(usage(readings.mail))
    assert readings.asked == 2

"""A tenant that shall be suspended is, whatever else of its spec is refused; and what is refused goes on being said."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from hoa_operator import desire, drift, reconcile, status, steps
from hoa_operator.cache import Cache
from hoa_operator.errors import OperatorError, UserError, WorldError
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.observe import _tier
from hoa_operator.places import Places
from hoa_operator.plan import plan
from hoa_operator.postgres.model import DatabaseIdentity
from hoa_operator.reconcile import TenantReconciler
from hoa_operator.status import Report, build
from hoa_operator.suspension import decide
from hoa_operator.target import Failure, StepFailed
from hoa_operator.tiers import Tier, remembered
from hoa_operator.turns import Turns
from hoa_operator.world import Record
from tests.faults.words import lacks_words
from tests.unit.operator.samples import NOW, TIERS, placement, served, server_body, settings, tenant_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from hoa_operator.apply import Doors
    from hoa_operator.registry_model import Placement, RegistryRow
    from hoa_operator.world import World

Json = dict[str, Any]
ROW = cast("RegistryRow", served().row)
REFUSED = UserError("TierUnknown", "spec.tier 'jumbo' is no HOATier of this namespace; use Auto")


class Place:
    """A registry with one row and a server with its logins; `broken` is what the server answers instead."""

    def __init__(self, row: RegistryRow | None = ROW) -> None:
        self.row = row
        self.broken: OperatorError | None = None
        self.done: list[str] = []

    async def observe(self, uid: UUID) -> RegistryRow | None:
        return self.row if self.row is not None and self.row.uid == uid else None

    async def placement(self, tenant_id: UUID) -> Placement:
        assert self.row is not None
        assert tenant_id == self.row.tenant_id
        return placement()

    async def set_state(self, tenant_id: UUID, state: str, epoch: int) -> bool:
        assert self.row is not None
        assert (tenant_id, epoch) == (self.row.tenant_id, 7)
        self.done.append(state)
        self.row = replace(self.row, state=state)
        return True

    @asynccontextmanager
    async def door(self, server: object) -> AsyncIterator[Place]:
        if self.broken is not None:
            raise self.broken
        yield self

    async def shut_out(self, identity: DatabaseIdentity) -> None:
        assert identity == DatabaseIdentity(ROW.tenant_id, ROW.uid, settings().installation)
        self.done.append("shut out")


async def reconciled(
    place: Place, body: Json, failure: Failure, monkeypatch: pytest.MonkeyPatch, rounds: int = 1
) -> Json:
    """Return the status after a reconcile in which observing fails like that."""

    async def refuses(*_: object) -> None:
        raise StepFailed(failure)

    async def stays() -> bool:
        return False

    written: list[Json] = []

    async def publish(_: object, known: object, said: Json, *__: object) -> object:
        written.append(said)
        return known

    cache = Cache()
    cache.observe(TENANT, body)
    cache.observe(SERVER, server_body())
    sources = SimpleNamespace(
        settings=settings(), cache=cache, turns=Turns(), places=Places(), registry=place, fleet=place
    )
    doors = cast("Doors", SimpleNamespace(sources=sources, kube=SimpleNamespace(is_leaving=stays), epoch=7))
    monkeypatch.setattr(reconcile, "observe_tenant", refuses)
    monkeypatch.setattr(reconcile, "publish", publish)
    reconciler = TenantReconciler(doors, "operator-0", Random(1), lambda _: None, lambda: NOW)
    for _ in range(rounds):
        await reconciler("seabreeze")
    return written[-1]


def body_of(state: str) -> Json:
    """Return a tenant that was Ready and now asks for that state."""
    before = served()
    return tenant_body(state=state, tier="jumbo") | {"status": build(settled(before))}


def settled(base: World, **more: Any) -> Report:
    return Report(base.target.identity, more.pop("before", {}), NOW, world=base, plan=plan(base), **more)


def said(built: Json, name: str) -> tuple[str, str]:
    found = status.condition(built, name)
    assert found is not None
    return found["status"], found["reason"]


async def test_a_refused_spec_suspends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    after = await reconciled(place, body_of("Suspended"), Failure(REFUSED, steps.SPEC_ACCEPTED), monkeypatch)
    assert place.done[:2] == ["Suspended", "shut out"], "the page first, then the end of the sessions"
    assert (after["state"], after["phase"]) == ("Suspended", "Suspended")
    assert said(after, steps.READY) == ("False", "Suspended")
    assert said(after, steps.SPEC_ACCEPTED) == ("False", "TierUnknown")
    assert said(after, steps.STALLED) == ("True", "TierUnknown")


@pytest.mark.parametrize("state", ["Active", "ReadOnly"])
async def test_no_other_state_is_carried_out_for_itself(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    after = await reconciled(place, body_of(state), Failure(REFUSED, steps.SPEC_ACCEPTED), monkeypatch)
    assert place.done == []
    assert (after["state"], after["phase"]) == ("Active", "Degraded")
    assert said(after, steps.READY)[0] == "True"


async def test_a_kill_in_between_is_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(replace(ROW, state="Suspended"))
    await reconciled(place, body_of("Suspended"), Failure(REFUSED, steps.SPEC_ACCEPTED), monkeypatch)
    assert "shut out" in place.done


async def test_a_server_that_is_away_is_said_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    place.broken = WorldError("ServerUnreachable", "the connection was lost; check that the server runs")
    refused = Failure(REFUSED, steps.SPEC_ACCEPTED)
    after = await reconciled(place, body_of("Suspended"), refused, monkeypatch, rounds=2)
    assert place.done[0] == "Suspended", "the app says so, whatever becomes of the sessions"
    assert said(after, steps.DATABASE_READY) == ("False", "ServerUnreachable")
    assert said(after, steps.STALLED) == ("False", "Retrying")
    assert after["state"] == "Active", "sessions may go on"


def test_who_is_suspended_for_itself() -> None:
    record = Record(ROW, placement(), None)
    identity = DatabaseIdentity(ROW.tenant_id, ROW.uid, "here")
    assert decide(record, "here", again=False) == steps.Suspend("default", identity)
    assert decide(Record(ROW, None, None), "here", again=False) == steps.Suspend(None, identity)
    known = replace(record, row=replace(ROW, state="Suspended"))
    assert decide(known, "here", again=False) is None
    assert decide(known, "here", again=True) == steps.Suspend("default", identity)
    for state in ("Provisioning", "Deleting", "Deleted"):
        assert decide(replace(record, row=replace(ROW, state=state)), "here", again=True) is None
    assert decide(Record(None, None, None), "here", again=True) is None


def test_what_is_refused_in_the_database_is_said_of_a_suspended_tenant() -> None:
    base = served(tenant_body(state="Suspended", database={"extensions": ["typo"]}))
    failure = Failure(UserError("ExtensionUnavailable", "extension 'typo' cannot be installed"), steps.DATABASE_READY)
    built = build(settled(base, failure=failure, suspended=True))
    assert (built["state"], built["phase"]) == ("Suspended", "Suspended")
    assert said(built, steps.DATABASE_READY) == ("False", "ExtensionUnavailable")
    assert said(built, steps.STALLED) == ("True", "ExtensionUnavailable")


def test_what_was_refused_is_no_repair_once_it_is_accepted() -> None:
    base = served(tenant_body(state="Suspended"))
    held = build(settled(base, failure=Failure(REFUSED, steps.SPEC_ACCEPTED), suspended=True))
    fine = build(settled(base))
    assert (held["phase"], fine["phase"]) == ("Suspended", "Suspended")
    lost = replace(base, children=type(base.children)({}))
    assert not drift.is_repair(plan(replace(lost, body={**base.body, "status": held})))
    assert drift.is_repair(plan(replace(lost, body={**base.body, "status": fine})))


class TestTierThatIsGone:
    """A HOATier deleted under a tenant that is in it."""

    def gone(self, base: World) -> World:
        assert base.row is not None
        return replace(base, target=replace(base.target, tier=remembered(base.row.tier, base.row.limits)))

    def test_a_served_tenant_goes_on_with_what_the_registry_has(self) -> None:
        known = tuple(tier for tier in TIERS if tier.name != "small")
        spec = served(tenant_body(tier="small")).target.spec
        kept = _tier(spec, 80, ROW.tier, ROW, known)
        assert (kept.name, kept.gone) == ("small", True)
        assert kept.limits.to_json() == ROW.limits
        assert _tier(spec, 80, ROW.tier, ROW, TIERS) == TIERS[0]
        automatic = served().target.spec
        assert _tier(automatic, 80, ROW.tier, ROW, ()).gone
        assert _tier(automatic, 80, ROW.tier, ROW, known).name == "medium"

    @pytest.mark.parametrize(
        ("tier", "row"),
        [("jumbo", ROW), ("small", None), ("small", replace(ROW, schema_revision=None))],
        ids=["another", "new", "not served yet"],
    )
    def test_nobody_else_does(self, tier: str, row: RegistryRow | None) -> None:
        known: tuple[Tier, ...] = TIERS[1:]
        with pytest.raises(UserError, match="TierUnknown"):
            _tier(served(tenant_body(tier=tier)).target.spec, 80, row.tier if row else None, row, known)

    def test_nothing_changes_and_it_is_said(self) -> None:
        base = self.gone(served())
        assert plan(base).steps == ()
        built = build(settled(base))
        assert (built["tier"], built["phase"]) == ("small", "Degraded")
        assert said(built, steps.READY)[0] == "True"
        assert said(built, steps.SPEC_ACCEPTED) == ("False", "TierUnknown")
        assert said(built, steps.STALLED) == ("True", "TierUnknown")
        assert lacks_words(str((status.condition(built, steps.SPEC_ACCEPTED) or {})["message"])) == ""

    def test_what_else_the_spec_says_is_carried_out(self) -> None:
        base = self.gone(served())
        assert base.row is not None
        frozen = replace(base.target.spec, state="ReadOnly", display_name="Another")
        decided = plan(replace(base, target=replace(base.target, spec=frozen))).steps
        assert any(isinstance(step, steps.EnsureDatabase) and step.spec.read_only for step in decided)
        assert any(isinstance(step, steps.Register) and step.row.display_name == "Another" for step in decided)

    def test_own_capacity_stays_as_it_is(self) -> None:
        base = served(tenant_body(placement="Dedicated"))
        assert desire.own_capacity(base)
        assert desire.own_capacity(self.gone(base)) == []
        assert plan(self.gone(base)).steps == ()

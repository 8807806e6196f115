"""Rotation as a decision: when it is due, what it waits for, how long the login before stays, which keys are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import conditions, desire, facts, rotating, status, steps
from hoa_operator.errors import UserError
from hoa_operator.events import transitions
from hoa_operator.kinds import name_of
from hoa_operator.observe import _secrets
from hoa_operator.plan import plan
from hoa_operator.postgres.model import ObservedRole
from hoa_operator.rotation import AppLogins, Fresh, due_at, other, rotated, tidied
from hoa_operator.signing import SigningKey, encode_signing_keys
from hoa_operator.status import Report
from hoa_operator.target import StepFailed
from hoa_operator.tenant import CredentialsWish, format_time
from hoa_operator.world import Reading, World
from tests.faults.words import lacks_words
from tests.unit.operator.rotating import DAY, NEW, ROTATED_AT, all_of, done, half_done, kinds, wishing
from tests.unit.operator.samples import (
    CREDENTIALS,
    NOW,
    Json,
    children,
    live,
    secrets_of,
    served,
    settings,
    tenant_body,
    with_objects,
)


class TestDue:
    """When."""

    def test_without_a_wish_never(self) -> None:
        assert due_at(CredentialsWish(), ROTATED_AT) is None

    def test_an_interval_counts_from_the_last_rotation(self) -> None:
        assert due_at(CredentialsWish(rotation_interval=DAY), ROTATED_AT) == ROTATED_AT + DAY

    @pytest.mark.parametrize("later", [timedelta(0), -DAY])
    def test_a_request_is_met_by_any_rotation_since(self, later: timedelta) -> None:
        assert due_at(CredentialsWish(rotate_requested_at=ROTATED_AT + later), ROTATED_AT) is None

    def test_whatever_comes_first(self) -> None:
        wish = CredentialsWish(DAY, ROTATED_AT + DAY / 2)
        assert due_at(wish, ROTATED_AT) == ROTATED_AT + DAY / 2
        assert due_at(wish, ROTATED_AT + DAY / 2) == ROTATED_AT + DAY * 1.5

    def test_a_request_asks_for_one(self) -> None:
        base = wishing(rotateRequestedAt=format_time(NOW))
        (step,) = plan(base).steps
        assert step == steps.RotateCredentials(CREDENTIALS, "20")
        after = rotated(CREDENTIALS, Fresh("a", "m", SigningKey("new", bytes(32), NOW)))
        assert not rotating.is_due(base, after)

    def test_a_request_for_later_waits(self) -> None:
        decided = plan(wishing(rotateRequestedAt=format_time(NOW + timedelta(seconds=90))))
        assert decided.steps == ()
        assert decided.wait == pytest.approx(90, abs=1)

    def test_an_interval_wakes_up_by_itself(self) -> None:
        decided = plan(wishing(rotationInterval="24h"))
        assert decided.steps == ()
        assert decided.wait == pytest.approx((ROTATED_AT + DAY - NOW).total_seconds(), abs=1)

    @pytest.mark.parametrize("state", ["Suspended", "ReadOnly"])
    def test_a_tenant_in_any_state_may_rotate(self, state: str) -> None:
        base = served(tenant_body(state=state, credentials={"rotateRequestedAt": format_time(NOW)}))
        assert kinds(base) == [steps.RotateCredentials]

    def test_a_suspended_tenant_needs_no_overlap(self) -> None:
        base = done(1)
        base = replace(base, target=served(tenant_body(state="Suspended")).target)
        assert not base.is_overlapping

    def test_a_wish_that_is_none_is_said(self) -> None:
        with pytest.raises(UserError, match=r"spec\.credentials"):
            wishing(rotationInterval="soon")

    @pytest.mark.parametrize("asked", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
    def test_a_time_that_is_in_no_year_is_said(self, asked: str) -> None:
        with pytest.raises(UserError, match=r"RotationInvalid: spec\.credentials\.rotateRequestedAt: .*out of range"):
            wishing(rotateRequestedAt=asked)

    def test_a_time_of_another_zone_is_told_in_utc(self) -> None:
        base = wishing(rotateRequestedAt="2026-11-24T02:00:00+14:00")
        assert base.target.spec.credentials.rotate_requested_at == NOW
        later = wishing(rotateRequestedAt="2026-11-24T03:00:00+14:00")
        assert facts.read(later)["credentials"]["nextRotation"] == "2026-11-23T13:00:00Z"


class TestClocks:
    """What a clock that jumped leaves behind."""

    def test_a_request_that_is_not_later_is_said_to_be_met(self) -> None:
        asked = format_time(ROTATED_AT - DAY)
        said = conditions.read(base := wishing(rotateRequestedAt=asked), plan(base))[steps.CREDENTIALS_READY]
        assert (said.status, said.reason) == ("True", "InForce")
        assert f"asked for at {asked} is not later than the last one at {format_time(ROTATED_AT)}" in said.message
        assert "set spec.credentials.rotateRequestedAt to a later time" in said.message
        later = wishing(rotateRequestedAt=format_time(NOW + DAY))
        assert "asked for" not in conditions.read(later, plan(later))[steps.CREDENTIALS_READY].message

    def test_a_key_of_the_future_is_made_now_and_nothing_is_rotated(self) -> None:
        ahead = replace(CREDENTIALS, signing_keys=keys_of(NOW + DAY * 30_000, ROTATED_AT))
        right = tidied(ahead, NOW)
        assert right is not None
        assert [key.created_at for key in right.keys] == [NOW, ROTATED_AT]
        assert [key.k for key in right.keys] == [key.k for key in ahead.keys]
        assert (right.app_password, right.login) == (ahead.app_password, ahead.login)
        assert tidied(right, NOW) is None, "once"
        assert due_at(CredentialsWish(DAY, NOW + DAY / 2), right.rotated_at) == NOW + DAY / 2

    def test_the_plan_writes_that_and_no_rotation(self) -> None:
        ahead = replace(CREDENTIALS, signing_keys=keys_of(NOW + DAY * 30_000))
        base = wishing(rotationInterval="24h", rotateRequestedAt=format_time(NOW - DAY))
        secret = live(desire.credentials_secret(base, ahead))
        kept = [item for item in all_of(base) if name_of(item) != name_of(secret)]
        base = replace(base, record=replace(base.record, secrets=secrets_of(ahead)), children=children(secret, *kept))
        right = tidied(ahead, NOW)
        assert right is not None
        assert plan(base).steps == (steps.WriteCredentials(right, "20"),)

    def test_clocks_that_differ_by_a_little_change_nothing(self) -> None:
        assert tidied(replace(CREDENTIALS, signing_keys=keys_of(NOW + timedelta(minutes=1))), NOW) is None

    def test_a_time_that_is_put_right_is_told_as_no_rotation(self) -> None:
        before = {"credentials": {"rotatedAt": "2099-01-01T00:00:00Z", "login": "app"}}
        after = {"credentials": {"rotatedAt": format_time(NOW), "login": "app"}}
        assert "CredentialsRotated" not in [event.reason for event in transitions(before, after)]
        assert "CredentialsRotated" in [event.reason for event in transitions(after, before)]


def keys_of(*made: datetime) -> str:
    """Return signing keys that were made then, newest first."""
    return encode_signing_keys([SigningKey(str(n), bytes([n] * 32), at) for n, at in enumerate(made)]).decode()


class TestWaiting:
    """What a rotation waits for."""

    def test_a_migration_that_failed_holds_up_nothing(self) -> None:
        failed = [{"type": "Failed", "status": "True", "lastTransitionTime": format_time(NOW), "reason": "PodFailed"}]
        base = replace(wishing(rotateRequestedAt=format_time(NOW)), settings=settings(HOA_APP_SCHEMA_REVISION="0003"))
        job = live(desire.migration_job(base, 1), conditions=failed)
        base = with_objects(base, job)
        assert conditions.read(base, plan(base))[steps.SCHEMA_CURRENT].reason == "MigrationFailed"
        assert kinds(base) == [steps.RotateCredentials]

    def test_the_second_login_has_to_be_let_in_first(self) -> None:
        wish = {"rotateRequestedAt": format_time(NOW)}
        body = tenant_body(admin={"name": "Dana", "email": "another@seabreeze.example"}, credentials=wish)
        base = replace(wishing(rotateRequestedAt=format_time(NOW)), body=body, target=served(body).target)
        assert steps.RotateCredentials not in kinds(base)
        said = conditions.read(base, plan(base))[steps.CREDENTIALS_READY]
        assert (said.status, said.reason) == ("True", "RotationWaits")
        assert lacks_words(said.message) == ""
        rotated_before = MappingProxyType({**base.database.roles, "app_b": ObservedRole(exists=True)})
        known = replace(base, database=replace(base.database, roles=rotated_before))
        assert (
            "let the app's second login in" not in conditions.read(known, plan(known))[steps.CREDENTIALS_READY].message
        )

    def test_a_job_that_runs_keeps_its_password(self) -> None:
        base = wishing(rotateRequestedAt=format_time(NOW))
        job = live(desire.migration_job(base, 1))
        base = with_objects(base, job)
        assert plan(base).steps == ()
        said = conditions.read(base, plan(base))[steps.CREDENTIALS_READY]
        assert "migrator's password" in said.message
        assert lacks_words(said.message) == ""

    def test_the_rotation_before_has_to_be_over(self) -> None:
        base = done(30)
        body = tenant_body(credentials={"rotateRequestedAt": format_time(NOW)})
        base = replace(base, body=body, target=served(body).target)
        assert plan(base).steps == ()
        assert steps.RotateCredentials in kinds(replace(done(130, other_open=False), body=body, target=base.target))


class TestOverlap:
    """How long the login before stays."""

    def test_the_write_is_brought_in_force_by_what_always_does(self) -> None:
        assert kinds(half_done()) == [steps.EnsureDatabase, steps.SetPasswords, steps.ApplyObject, steps.Register]
        ensure, _, _, register = plan(half_done()).steps
        assert isinstance(ensure, steps.EnsureDatabase)
        assert (ensure.spec.login, ensure.spec.overlapping) == ("app_b", True)
        assert isinstance(register, steps.Register)
        assert str(register.row.database["username"]).endswith("_app_b")
        assert register.secrets == secrets_of(NEW)

    def test_while_it_is_not_in_force_the_tenant_stays_ready(self) -> None:
        said = conditions.read(half_done(), plan(half_done()))[steps.CREDENTIALS_READY]
        assert (said.status, said.reason) == ("True", "Rotating")

    def test_however_long_that_takes_the_registered_login_stays_open(self) -> None:
        base = half_done(now=NOW + 400 * DAY)
        assert base.is_overlapping

    def test_it_stays_for_the_overlap(self) -> None:
        decided = plan(done(30))
        assert decided.steps == ()
        assert decided.wait == pytest.approx(90, abs=1)
        said = conditions.read(done(30), decided)[steps.CREDENTIALS_READY]
        assert (said.status, said.reason) == ("True", "Overlapping")

    def test_then_it_is_closed(self) -> None:
        ensure = plan(done(121)).steps[0]
        assert isinstance(ensure, steps.EnsureDatabase)
        assert not ensure.spec.overlapping
        assert ensure.differences == (f"attributes of role {done(0).database_spec(NEW).database}_app",)

    def test_while_it_is_used_it_stays_longer_but_not_for_ever(self) -> None:
        def used(seconds_ago: float) -> World:
            base = done(seconds_ago)
            role = replace(base.database.role("app"), sessions=1)
            roles = MappingProxyType({**base.database.roles, "app": role})
            return replace(base, database=replace(base.database, roles=roles))

        assert [plan(used(seconds)).steps for seconds in (30, 130)] == [(), ()]
        assert plan(used(30)).wait == pytest.approx(90, abs=1)
        assert plan(used(130)).wait == 10
        assert kinds(used(601))[0] is steps.EnsureDatabase

    def test_once_closed_a_later_write_of_the_row_opens_it_no_more(self) -> None:
        base = done(1, other_open=False)
        assert not base.is_overlapping
        assert plan(base).steps == ()

    @pytest.mark.parametrize("ahead", [timedelta(minutes=4), -timedelta(minutes=4)])
    def test_no_clock_counts_but_the_registrys(self, ahead: timedelta) -> None:
        base = replace(done(30), now=NOW + ahead)
        assert base.is_overlapping
        assert plan(base).wait == pytest.approx(90, abs=1)
        assert kinds(replace(done(121), now=NOW + ahead))[0] is steps.EnsureDatabase

    @given(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(-1000, 1000))
    def test_the_registered_login_is_never_closed_unless_suspended(
        self, swapped: bool, other_open: bool, suspended: bool, used: bool, seconds: int
    ) -> None:
        age = timedelta(seconds=seconds)
        registered = other("app") if swapped else "app"
        logins = AppLogins("app", registered, NOW - age, age, other_open, suspended, used)
        assert registered == logins.current or logins.overlapping(120)


class TestRebuilding:
    """A lost Secret locks nobody out."""

    def test_a_secret_lost_after_a_rotation_names_the_login_in_use(self) -> None:
        base = done(500, other_open=False)
        left = [item for item in all_of(base) if "credentials" not in name_of(item)]
        (step,) = plan(replace(base, children=children(*left))).steps
        assert step == steps.MintCredentials(secrets_of(NEW), None, "app_b")

    def test_a_secret_lost_in_the_middle_brings_the_login_back_that_the_row_names(self) -> None:
        base = half_done()
        left = [item for item in all_of(base) if "credentials" not in name_of(item)]
        (step,) = plan(replace(base, children=children(*left))).steps
        assert step == steps.MintCredentials(secrets_of(), None, "app")

    def test_a_lost_sealing_key_is_no_loss_while_the_secret_is_there(self) -> None:
        base = served()
        known = _secrets(Keyless(), base.row, base.children)  # type: ignore[arg-type]
        assert known == replace(secrets_of(), newest_key=False)
        sealed = plan(replace(base, record=replace(base.record, secrets=known)))
        assert [type(step) for step in sealed.steps] == [steps.SetPasswords, steps.ApplyObject, steps.Register]

    def test_a_lost_sealing_key_and_a_lost_secret_are(self) -> None:
        base = served()
        left = [item for item in all_of(base) if "credentials" not in name_of(item)]
        with pytest.raises(StepFailed) as caught:
            _secrets(Keyless(), base.row, children(*left))  # type: ignore[arg-type]
        assert caught.value.failure.error.reason == "UnsealFailed"


class Keyless:
    """A sealer whose keys open nothing."""

    def unseal(self, _sealed: bytes) -> bytes:
        raise UserError("UnsealFailed", "no sealing key opens a stored secret")


def report(base: World, before: Json) -> Json:
    return status.build(Report(base.target.identity, before, NOW, world=base, plan=plan(base)))


def test_the_status_says_who_logs_in_since_when_and_until_when() -> None:
    before = report(wishing(rotationInterval="24h"), {})
    assert before["credentials"] == {
        "login": f"hoa_connect_tenant_{served().target.tenant_id.hex}_app",
        "rotatedAt": format_time(ROTATED_AT),
        "nextRotation": format_time(ROTATED_AT + DAY),
    }
    after = report(done(30), before)
    assert after["credentials"]["login"].endswith("_app_b")
    assert "nextRotation" not in after["credentials"]
    assert [event.reason for event in transitions(before, after)] == ["CredentialsRotated"]
    assert transitions({}, before) != ()
    assert "CredentialsRotated" not in [event.reason for event in transitions({}, before)]


def test_a_password_that_somebody_changed_is_no_rotation() -> None:
    base = half_done(reading=Reading(refused=True))
    assert conditions.read(base, plan(base))[steps.CREDENTIALS_READY].reason == "PasswordChanged"

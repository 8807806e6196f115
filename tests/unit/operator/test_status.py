"""Status: what people read, at every point of a tenant's life, and that it says nothing new when nothing is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hoa_operator import desire, migrating, status, steps, timing
from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import DEPLOYMENT
from hoa_operator.plan import plan
from hoa_operator.publish import difference
from hoa_operator.status import Report, Retry, build
from hoa_operator.steps import Plan
from hoa_operator.target import Failure
from hoa_operator.tenant import parse_identity
from hoa_operator.world import Reading, Trouble, World
from tests.unit.operator.samples import (
    NOW,
    live,
    provisioned,
    served,
    settings,
    shared_app,
    tenant_body,
    usage,
    with_objects,
    world,
)

Json = dict[str, Any]


def report(base: World, before: Json | None = None, **changes: Any) -> Report:
    return replace(Report(base.target.identity, before or {}, NOW, world=base, plan=plan(base)), **changes)


def said(built: Json, name: str) -> tuple[str, str]:
    known = status.condition(built, name)
    assert known is not None, name
    return known["status"], known["reason"]


def test_a_served_tenant() -> None:
    built = build(report(served()))
    assert {
        key: built[key] for key in ("phase", "url", "tier", "homeowners", "storage", "schemaRevision", "appVersion")
    } == {
        "phase": "Ready",
        "url": "http://seabreeze.hoaconnect.test",
        "tier": "small",
        "homeowners": 80,
        "storage": {"used": "12Mi", "database": "11Mi", "files": "1Mi", "limit": "10Gi", "percent": 0},
        "schemaRevision": "0002",
        "appVersion": "1.0.0",
    }
    assert built["database"]["server"] == "default"
    assert {c["type"]: c["status"] for c in built["conditions"]} == {
        "Ready": "True",
        "SpecAccepted": "True",
        "CredentialsReady": "True",
        "DatabaseReady": "True",
        "SchemaCurrent": "True",
        "RouteReady": "True",
        "CapacityReady": "True",
        "StorageWithinLimit": "True",
        "WelcomeMailSent": "True",
        "Stalled": "False",
    }
    assert all("finishedAt" in entry for entry in built["onboarding"])


def test_a_second_look_says_nothing_new() -> None:
    first = build(report(served()))
    later = report(served(), first, now=NOW + timedelta(hours=1))
    assert difference(first, build(later)) == {}


def test_a_tenant_on_its_way() -> None:
    built = build(report(provisioned()))
    assert built["phase"] == "Provisioning"
    assert said(built, "Ready") == ("False", "MigrationPending")
    done = {entry["step"] for entry in built["onboarding"] if "finishedAt" in entry}
    assert done == {"CreateTenantRecord", "ProvisionDatabase"}
    begun = {entry["step"] for entry in built["onboarding"] if "startedAt" in entry}
    assert begun == {"CreateTenantRecord", "ProvisionDatabase", "RunMigrations"}


def test_waiting_for_a_turn_is_said_and_does_not_count() -> None:
    waits = build(report(replace(provisioned(), turn=False)))
    assert said(waits, "SchemaCurrent") == ("False", "WaitingForTurn")
    assert "startedAt" not in waits["onboarding"][2]
    hours = NOW + timedelta(hours=5)
    assert timing.elapsed(waits, hours) == 0
    goes = build(report(provisioned(), waits, now=hours))
    assert goes["onboarding"][2]["startedAt"] == "2026-11-23T17:00:00Z"
    assert timing.elapsed(goes, hours + timedelta(seconds=7)) == 7


def test_what_is_done_beside_the_migration_does_not_count() -> None:
    """The route is ready before the migration has its turn, so that the steps after it have begun."""
    base = provisioned()
    routed = with_objects(base, *map(live, desire.routes(base)), turn=False)
    waits = build(report(routed))
    assert [e["step"] for e in waits["onboarding"] if "startedAt" in e and "finishedAt" not in e] == [
        "InitializeDefaults"
    ]
    assert timing.elapsed(waits, NOW + timedelta(hours=5)) == 0


def test_making_the_database_counts() -> None:
    assert timing.elapsed({}, NOW) == 0, "what was applied while no operator ran has not begun"
    begun = build(report(world()))
    assert timing.elapsed(begun, NOW + timedelta(seconds=30)) == 30


def test_a_migration_known_to_fail_is_remembered_until_something_else_is_planned() -> None:
    stopped = Plan(stop=(steps.SCHEMA_CURRENT, "WrongHead", "the image ends at 0001"))
    built = build(report(provisioned(), plan=stopped))
    assert (built["failedMigration"]["reason"], built["failedMigration"]["inputs"]) == (
        "WrongHead",
        migrating.wanted_inputs(provisioned()),
    )
    assert "failedMigration" in build(report(provisioned(), built))  # a plan with steps settles nothing
    assert "failedMigration" not in build(report(provisioned(), built, plan=Plan()))
    assert "failedMigration" not in status.rolled_back(report(provisioned(), built, plan=stopped), built, None)


def test_onboarding_that_is_done_stays_done() -> None:
    first = build(report(served()))
    base = served()
    lost = replace(base, children=provisioned().children, reading=Reading())
    later = build(report(lost, first, now=NOW + timedelta(hours=1)))
    assert [entry.get("finishedAt") for entry in later["onboarding"]] == [
        entry["finishedAt"] for entry in first["onboarding"]
    ]


def test_ready_stays_true_while_a_served_tenant_is_upgraded() -> None:
    newer = replace(served(), settings=settings(HOA_APP_SCHEMA_REVISION="0003"))
    built = build(report(newer, build(report(served()))))
    assert said(built, "Ready")[0] == "True"
    assert said(built, "SchemaCurrent") == ("False", "MigrationPending")
    assert built["phase"] == "Updating"


def test_a_suspended_tenant_is_not_ready_and_says_why() -> None:
    built = build(report(served(tenant_body(state="Suspended"))))
    assert said(built, "Ready") == ("False", "Suspended")
    assert built["phase"] == "Suspended"


def test_no_pod_of_the_app_degrades() -> None:
    built = build(report(replace(served(), shared_app=shared_app(available=0))))
    assert said(built, "CapacityReady") == ("False", "AppNotAvailable")
    assert built["phase"] == "Degraded"
    assert said(build(report(replace(served(), shared_app=None))), "CapacityReady") == ("False", "AppMissing")


def test_the_shared_app_serves_until_own_capacity_is_there() -> None:
    built = build(report(served(tenant_body(placement="Dedicated"))))
    assert said(built, "CapacityReady") == ("False", "DedicatedNotAvailable")
    assert (said(built, "Ready")[0], built["placement"]) == ("True", "Shared")
    gone = build(report(replace(served(tenant_body(placement="Dedicated")), shared_app=shared_app(available=0))))
    assert said(gone, "Ready") == ("False", "DedicatedNotAvailable")


def test_dedicated_capacity_is_said() -> None:
    base = served(tenant_body(placement="Dedicated"))
    assert said(build(report(base)), "CapacityReady") == ("False", "DedicatedNotAvailable")
    live = base.children.get(DEPLOYMENT, "tenant-seabreeze-app")
    assert live is not None
    assert not desire.available(base)


@pytest.mark.parametrize(
    ("mail", "reason"), [("Sent", "Sent"), ("Queued", "Queued"), ("Failed", "MailRefused"), ("None", "NotQueued")]
)
def test_the_welcome_mail(mail: str, reason: str) -> None:
    built = build(report(replace(served(), reading=Reading(usage(mail)))))
    assert said(built, "WelcomeMailSent")[1] == reason
    assert said(built, "Ready")[0] == "True"


def test_figures_that_cannot_be_read_are_said_and_stop_nothing() -> None:
    before = build(report(served()))
    broken = Reading(trouble=Trouble("UsageUnreadable", "view hoa_usage: it has 2 rows"))
    after = build(report(replace(served(), reading=broken), before=before))
    assert said(after, "DatabaseReady") == ("True", "UsageUnreadable")
    assert said(after, "WelcomeMailSent") == ("Unknown", "UsageUnreadable")
    assert "view hoa_usage: it has 2 rows" in str(status.condition(after, "DatabaseReady"))
    assert (after["phase"], after["storage"], after["homeowners"]) == ("Ready", before["storage"], before["homeowners"])


def test_a_login_that_was_changed_is_said() -> None:
    built = build(report(replace(served(), reading=Reading(refused=True))))
    assert said(built, "CredentialsReady") == ("False", "PasswordChanged")


def test_backups_that_nothing_carries_out_are_not_promised() -> None:
    asked = status.condition(build(report(served(tenant_body(backup={"retentionDays": 30})))), "SpecAccepted")
    silent = status.condition(build(report(served())), "SpecAccepted")
    assert asked is not None
    assert silent is not None
    assert (asked["status"], asked["message"]) == (
        "True",
        f"{silent['message']}; spec.backup is not carried out yet: back the server up",
    )


def test_a_rejected_spec_stalls_a_new_tenant() -> None:
    identity = parse_identity(tenant_body())
    failure = Failure(UserError("TierUnknown", "use another"), steps.SPEC_ACCEPTED)
    built = build(Report(identity, {}, NOW, failure=failure))
    assert said(built, "SpecAccepted") == ("False", "TierUnknown")
    assert said(built, "Stalled") == ("True", "TierUnknown")
    assert said(built, "Ready") == ("False", "TierUnknown")
    assert built["phase"] == "Failed"
    assert built["onboarding"][0]["message"] == "TierUnknown: use another"


def test_a_rejected_spec_leaves_a_served_tenant_ready() -> None:
    before = build(report(served()))
    failure = Failure(UserError("HostTaken", "taken"), steps.SPEC_ACCEPTED)
    built = build(Report(served().target.identity, before, NOW, failure=failure))
    assert said(built, "Ready")[0] == "True"
    assert said(built, "SpecAccepted") == ("False", "HostTaken")
    assert built["phase"] == "Degraded"
    assert built["tier"] == "small"


def test_a_registry_that_is_away_rejects_nothing() -> None:
    before = build(report(served()))
    failure = Failure(WorldError("ServerUnreachable", "away"), steps.SPEC_ACCEPTED)
    built = build(Report(served().target.identity, before, NOW, failure=failure, retry=Retry(2, NOW)))
    assert said(built, "SpecAccepted") == ("Unknown", "ServerUnreachable")
    assert said(built, "Ready")[0] == "True"
    assert built["retry"] == {"attempts": 2, "nextRetryTime": "2026-11-23T12:00:00Z"}


def test_a_database_that_is_away_degrades_and_is_retried() -> None:
    before = build(report(served()))
    failure = Failure(WorldError("ServerUnreachable", "away"), steps.DATABASE_READY)
    built = build(Report(served().target.identity, before, NOW, failure=failure, retry=Retry(2, NOW)))
    assert said(built, "DatabaseReady") == ("False", "ServerUnreachable")
    assert said(built, "Ready") == ("False", "ServerUnreachable")
    assert said(built, "Stalled") == ("False", "Retrying")
    healed = build(report(served(), built))
    assert "retry" not in healed
    assert healed["phase"] == "Ready"


def test_a_fight_with_another_controller_is_said_while_it_is_tried_again() -> None:
    before = build(report(served()))
    failure = Failure(WorldError("NotConverging", "the same steps again and again"), steps.STALLED)
    built = build(Report(served().target.identity, before, NOW, failure=failure, retry=Retry(2, NOW)))
    assert said(built, "Stalled") == ("True", "NotConverging")
    assert built["retry"]["attempts"] == 2
    healed = build(report(served(), built))
    assert said(healed, "Stalled") == ("False", "Progressing")


def test_transition_times_change_with_the_status_only() -> None:
    before = build(report(served()))
    later = NOW + timedelta(hours=1)
    failure = Failure(WorldError("ServerUnreachable", "away"), steps.DATABASE_READY)
    built = build(Report(served().target.identity, before, later, failure=failure))
    times = {c["type"]: c["lastTransitionTime"] for c in built["conditions"]}
    assert times["DatabaseReady"] == "2026-11-23T13:00:00Z"
    assert times["RouteReady"] == "2026-11-23T12:00:00Z"


def test_a_schema_ahead_of_the_app_is_said() -> None:
    older = replace(served(), settings=settings(HOA_APP_SCHEMA_REVISION="0001"))
    assert said(build(report(older)), "SchemaCurrent") == ("False", "SchemaNewer")


# A deadline that passed


def rolled_back() -> Json:
    before = build(report(provisioned()))
    return status.rolled_back(report(provisioned(), before), before, None)


def test_a_rollback_says_what_hung_and_what_to_do() -> None:
    said_now = rolled_back()
    message = status.condition(said_now, "Stalled")
    assert message is not None
    assert message["reason"] == "ProvisioningDeadlineExceeded"
    assert message["message"].startswith("RunMigrations was not done in time: MigrationPending: ")
    assert "was removed" in message["message"]
    assert "hoaconnect.com/retry=now" in message["message"]
    assert said(said_now, "SpecAccepted")[0] == "True"
    assert said_now["phase"] == "Failed"
    assert "database" not in said_now


def test_a_rollback_says_how_far_it_is() -> None:
    before = build(report(provisioned()))
    begun, stuck = (status.rolled_back(report(provisioned(), before), before, left) for left in ("", "no answer."))
    assert "What was made for this tenant is being removed; correct the cause" in _stalled(begun)
    assert "is being removed, but not all of it can be yet (no answer); correct" in _stalled(stuck)


def _stalled(built: Json) -> str:
    known = status.condition(built, "Stalled")
    assert known is not None
    return str(known["message"])


def test_a_rollback_holds_until_the_spec_changes_or_a_person_asks() -> None:
    said_now = rolled_back()
    assert status.is_rolled_back(said_now, parse_identity(tenant_body()))
    changed = parse_identity(tenant_body(meta={"generation": 2}))
    asked = parse_identity(tenant_body(meta={"annotations": {"hoaconnect.com/retry": "now"}}))
    for identity in (changed, asked):
        assert not status.is_rolled_back(said_now, identity)
        assert status.starts_over(said_now, identity)


def test_starting_over_resets_the_clock() -> None:
    later = NOW + timedelta(hours=1)
    base = world()
    again = build(report(base, rolled_back(), restart=True, now=later))
    assert timing.elapsed(again, later) == 0
    assert said(again, "Stalled")[0] == "False"


def test_a_rollback_goes_on_saying_the_same() -> None:
    first = rolled_back()
    again = status.rolled_back(Report(world().target.identity, first, NOW + timedelta(hours=1)), first, None)
    assert difference(first, again) == {}

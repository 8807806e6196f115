"""When a tenant's migration runs, runs again, is stopped for a person, or is taken in as done."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from hoa_operator import conditions, desire, migrating, names
from hoa_operator.kinds import JOB, SECRET, kind_of, name_of
from hoa_operator.manifests.secrets import Marks
from hoa_operator.plan import plan
from hoa_operator.steps import (
    ApplyObject,
    DeleteObject,
    Register,
)
from hoa_operator.tenant import parse_identity
from hoa_operator.world import Reading, World
from tests.faults.words import lacks_words
from tests.unit.operator.samples import (
    CREDENTIALS,
    NOW,
    Json,
    applied,
    kinds,
    live,
    provisioned,
    served,
    settings,
    tenant_body,
    usage,
    with_objects,
)


def job(base: World, status: Json | None = None) -> Json:
    return live(desire.migration_job(base, 1), **(status or {}))


def finished(kind: str, reason: str = "", seconds_ago: int = 0) -> Json:
    moment = (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, "lastTransitionTime": moment}]}


def routed() -> World:
    base = provisioned()
    return with_objects(base, *(live(route) for route in desire.routes(base)))


def pod_of(job_name: str, code: int, message: str = "") -> Json:
    state = {"terminated": {"exitCode": code, "message": message}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{job_name}-x",
            "uid": "pod",
            "resourceVersion": "1",
            "ownerReferences": [{"kind": "Job", "uid": f"uid-{job_name}"}],
        },
        "status": {"phase": "Failed", "containerStatuses": [{"name": "migrate", "image": "app", "state": state}]},
    }


def test_a_running_job_is_waited_for() -> None:
    base = routed()
    assert plan(with_objects(base, job(base))).steps == ()


def test_success_is_taken_in_the_row_first_then_the_mark() -> None:
    base = routed()
    steps = plan(with_objects(base, job(base, finished("Complete")))).steps
    assert kinds(steps) == [Register, ApplyObject]
    assert isinstance(steps[0], Register)
    assert (steps[0].row.schema_revision, steps[0].row.state) == ("0002", "Provisioning")
    assert names.ANNOTATION_MIGRATED in applied(steps[1])["metadata"]["annotations"]


def test_the_tenant_is_opened_last() -> None:
    base = served()
    assert base.row is not None
    waiting = replace(base, record=replace(base.record, row=replace(base.row, state="Provisioning")))
    (step,) = plan(waiting).steps
    assert isinstance(step, Register)
    assert step.row.state == "Active"


def test_a_failed_job_is_tried_again_after_a_pause() -> None:
    base = routed()
    soon = plan(with_objects(base, job(base, finished("Failed", "BackoffLimitExceeded", 1))))
    assert (soon.steps, soon.wait) == ((), 14.0)
    later = plan(with_objects(base, job(base, finished("Failed", "BackoffLimitExceeded", 60))))
    assert [name_of(applied(step)) for step in later.steps] == ["tenant-seabreeze-migrate-0002-2"]


def test_an_attempt_after_one_that_failed_says_what_that_failed_for() -> None:
    base = replace(served(), settings=settings(HOA_APP_SCHEMA_REVISION="0003"))
    late, again = job(base, finished("Failed", "DeadlineExceeded", 60)), live(desire.migration_job(base, 2))
    found = with_objects(base, late, again)
    schema = conditions.read(found, plan(found))["SchemaCurrent"]
    assert (schema.status, schema.reason) == ("False", "MigrationRetrying")
    assert schema.message.startswith(
        "Job tenant-seabreeze-migrate-0003-2: attempt 2 is under way; see kubectl logs job/tenant-seabreeze-migrate-0003 "
        "for the one before, MigrationTimedOut: the Job ran out of time"
    )
    assert lacks_words(schema.message) == ""


def test_a_first_attempt_at_something_else_is_no_retry() -> None:
    before = replace(served(), settings=settings(HOA_APP_SCHEMA_REVISION="0003"))
    mended = replace(before, settings=settings(HOA_APP_SCHEMA_REVISION="0003", HOA_APP_IMAGE="hoa-connect/app:mended"))
    failed = job(before, finished("Failed", "BackoffLimitExceeded", 60))
    alone = with_objects(before, job(before))
    for found in (with_objects(mended, failed, live(desire.migration_job(mended, 2))), alone):
        assert conditions.read(found, plan(found))["SchemaCurrent"].reason == "Migrating"


def test_a_final_failure_stops_until_something_changes() -> None:
    base = routed()
    failed = job(base, finished("Failed", "PodFailurePolicy", 9999))
    said = '{"result": "error", "reason": "WrongHead", "message": "the image ends at 0001", "revision": null}'
    stopped = plan(with_objects(base, failed, pod_of("tenant-seabreeze-migrate-0002", 2, said)))
    assert stopped.steps == ()
    assert stopped.stop is not None
    assert stopped.stop[1] == "WrongHead"
    assert "the image ends at 0001" in stopped.stop[2]


def test_a_final_failure_holds_when_its_job_is_cleaned_away() -> None:
    base = routed()
    failed = {
        "inputs": migrating.wanted_inputs(base),
        "reason": "WrongHead",
        "message": "Job x: the image ends at 0001",
    }
    cleaned = replace(base, body={**base.body, "status": {"failedMigration": failed}})
    assert plan(cleaned).steps == ()
    assert plan(cleaned).stop == ("SchemaCurrent", "WrongHead", "Job x: the image ends at 0001")
    newer = replace(cleaned, settings=settings(HOA_APP_IMAGE="hoa-connect/app:1.0.1"))
    asked = parse_identity(tenant_body(meta={"annotations": {"hoaconnect.com/retry": "now"}}))
    for changed in (newer, replace(cleaned, target=replace(cleaned.target, identity=asked))):
        assert [name_of(applied(step)) for step in plan(changed).steps] == ["tenant-seabreeze-migrate-0002"]


def test_another_image_replaces_a_job_that_hangs() -> None:
    base = routed()
    newer = replace(base, settings=settings(HOA_APP_IMAGE="hoa-connect/app:1.0.1"))
    (step,) = [s for s in plan(with_objects(newer, job(base))).steps if isinstance(s, DeleteObject)]
    assert (step.kind, step.name) == (JOB, "tenant-seabreeze-migrate-0002")


def test_jobs_take_turns() -> None:
    busy = plan(replace(routed(), turn=False))
    assert (busy.steps, busy.queued) == ((), True)
    assert not plan(routed()).queued


def test_a_served_tenant_is_upgraded_and_stays_open() -> None:
    base = served()
    newer = replace(base, settings=settings(HOA_APP_SCHEMA_REVISION="0003"))
    steps = plan(newer).steps
    assert [name_of(applied(step)) for step in steps] == [
        "tenant-seabreeze-migrator",
        "tenant-seabreeze-migrate-0003",
    ]


def test_an_older_operator_does_not_migrate_back() -> None:
    older = replace(served(), settings=settings(HOA_APP_SCHEMA_REVISION="0001"))
    assert plan(older).steps == ()


def at_revision(base: World, revision: str) -> World:
    return replace(base, settings=settings(HOA_APP_SCHEMA_REVISION=revision))


@pytest.mark.parametrize("deployed", ["0002", "0004"])
def test_a_job_of_another_version_is_ended_before_anything_else_is_done_to_the_schema(deployed: str) -> None:
    running = job(at_revision(served(), "0003"))
    world = with_objects(at_revision(served(), deployed), running)
    assert plan(world).steps == (
        DeleteObject(JOB, "tenant-seabreeze-migrate-0003", running["metadata"]["uid"], "SchemaCurrent"),
    )
    ending = {**running, "metadata": {**running["metadata"], "deletionTimestamp": "2026-07-01T12:00:00Z"}}
    waits = plan(with_objects(at_revision(served(), deployed), ending))
    assert (waits.steps, waits.wait) == ((), 1.0)


def test_an_ended_job_of_another_version_is_left_to_its_time_to_live() -> None:
    done = job(at_revision(served(), "0003"), finished("Complete"))
    assert plan(with_objects(served(), done)).steps == ()


def test_a_later_schema_that_the_database_tells_of_is_put_on_record() -> None:
    base = served()
    told = replace(usage(), schema_revision="0003")
    world = replace(base, reading=Reading(told))
    (step,) = plan(world).steps
    assert isinstance(step, Register)
    assert step.row.schema_revision == "0003"
    for said in ("0001", "9999x", "", None):
        assert plan(replace(base, reading=Reading(replace(told, schema_revision=said)))).steps == ()


def test_a_served_tenant_whose_migration_cannot_succeed_is_told_where_it_stays() -> None:
    base = at_revision(served(), "0003")
    failed = job(base, finished("Failed", "PodFailurePolicy"))
    world = with_objects(base, failed, pod_of("tenant-seabreeze-migrate-0003", 2))
    stop = plan(world).stop
    assert stop is not None
    assert stop[2].endswith("Until then the database stays at revision 0002")


def test_another_admin_is_invited_by_another_run() -> None:
    changed = served(tenant_body(admin={"email": "new@seabreeze.example", "name": "New"}))
    others = served()
    mixed = replace(changed, children=others.children)
    assert [kind_of(applied(step)) for step in plan(mixed).steps] == [SECRET, JOB]


def begun(base: World, attempt: int) -> World:
    """Return the world in which another migration was begun after the last that succeeded."""
    marks = replace(desire.marks(base), begun=attempt)
    return with_objects(base, live(desire.migrator_secret(base, CREDENTIALS, marks)))


def of_another_admin(attempt: int, status: Json | None = None) -> Json:
    other = served(tenant_body(admin={"email": "new@seabreeze.example", "name": "New"}))
    return live(desire.migration_job(other, attempt), **(status or {}))


def test_an_admin_who_is_the_old_one_again_is_invited_again() -> None:
    """What was begun for the other one may have been done, whether its Job still runs, has ended, or is gone."""
    base = served()
    first, complete = job(base, finished("Complete")), finished("Complete")
    (step,) = plan(begun(with_objects(base, first, of_another_admin(2)), 2)).steps
    assert isinstance(step, DeleteObject)
    assert step.name == "tenant-seabreeze-migrate-0002-2"
    ended = begun(with_objects(base, first, of_another_admin(2, complete)), 2)
    assert [name_of(applied(step)) for step in plan(ended).steps] == [
        "tenant-seabreeze-migrator",
        "tenant-seabreeze-migrate-0002-3",
    ]
    gone = begun(with_objects(base, first), 2)
    assert [name_of(applied(step)) for step in plan(gone).steps] == ["tenant-seabreeze-migrate-0002-2"]
    again = live(desire.migration_job(base, 2), **complete)
    (step,) = plan(begun(with_objects(base, first, again), 2)).steps
    assert Marks.read(applied(step)) == Marks(desire.purpose(base))
    assert plan(base).steps == ()

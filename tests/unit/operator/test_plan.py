"""The plan of a tenant that shall live: which steps, in which order, at every point of its life."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType

import pytest

from hoa_operator import desire, migrating, names
from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import INGRESS, JOB, SECRET, kind_of, name_of
from hoa_operator.manifests.secrets import Credentials
from hoa_operator.plan import plan
from hoa_operator.steps import (
    AddFinalizer,
    ApplyObject,
    DeleteObject,
    EnsureDatabase,
    MintCredentials,
    RecordPlacement,
    Register,
    SetPasswords,
)
from hoa_operator.tenant import parse_identity
from hoa_operator.world import Reading, Record, World
from tests.unit.operator.samples import (
    CREDENTIALS,
    NOW,
    OID,
    Json,
    applied,
    children,
    live,
    placement,
    provisioned,
    row_of,
    secrets_of,
    served,
    settings,
    shared_app,
    tenant_body,
    usage,
    world,
)


def kinds(steps: tuple[object, ...]) -> list[type]:
    return [type(step) for step in steps]


def test_a_new_tenant_gets_its_finalizer_then_its_claim_and_nothing_else() -> None:
    assert kinds(plan(world(tenant_body(finalizer=False))).steps) == [AddFinalizer, Register]


def test_the_claim_holds_slug_and_hosts_and_serves_nobody() -> None:
    body = tenant_body(slug="sea", domains=[{"host": "portal.sea.example"}])
    (step,) = plan(world(body)).steps
    assert isinstance(step, Register)
    assert step.row.state == "Provisioning"
    assert step.row.slug == "sea"
    assert step.row.hosts == ("sea.hoaconnect.test", "portal.sea.example")
    assert step.row.sealed_password is None
    assert step.secrets is None


def test_the_server_is_recorded_before_credentials_are_made() -> None:
    base = world()
    base = replace(base, record=Record(row_of(base), None, None))
    steps = plan(base).steps
    assert kinds(steps) == [RecordPlacement, MintCredentials]
    assert isinstance(steps[0], RecordPlacement)
    assert steps[0].placement == placement(None)


def test_the_database_comes_after_credentials_and_passwords_are_set_before_they_are_registered() -> None:
    base = world()
    base = replace(base, record=Record(row_of(base), placement(None), None))
    secret = live(desire.credentials_secret(base, CREDENTIALS))
    steps = plan(replace(base, children=children(secret))).steps
    assert kinds(steps) == [EnsureDatabase, SetPasswords, ApplyObject, Register]
    assert name_of(applied(steps[2])) == "tenant-seabreeze-migrator"


def test_a_database_that_was_just_made_has_its_oid_recorded() -> None:
    base = provisioned()
    base = replace(base, record=replace(base.record, placement=placement(None)))
    (step,) = plan(base).steps
    assert isinstance(step, RecordPlacement)
    assert step.placement.database_oid == OID


def test_job_and_route_follow() -> None:
    steps = plan(provisioned()).steps
    assert [name_of(applied(step)) for step in steps] == ["tenant-seabreeze-migrate-0002", "tenant-seabreeze"]


def test_a_served_tenant_needs_nothing() -> None:
    assert plan(served()).steps == ()


def test_a_lost_credentials_secret_is_rebuilt_from_the_registry() -> None:
    base = served()
    (step,) = plan(replace(base, children=children())).steps
    assert step == MintCredentials(secrets_of(), None)


def test_an_unreadable_credentials_secret_is_replaced() -> None:
    base = served()
    broken = live({**desire.credentials_secret(base, CREDENTIALS), "data": {"app-password": "%%%"}})
    (step,) = plan(replace(base, children=children(broken))).steps
    assert step == MintCredentials(secrets_of(), "uid-tenant-seabreeze-credentials")


def test_a_password_changed_in_the_secret_is_set_everywhere() -> None:
    base = served()
    rotated = Credentials("other", CREDENTIALS.migrator_password, CREDENTIALS.signing_keys)
    others = [item for kind in base.children.by_kind.values() for item in kind if "credentials" not in name_of(item)]
    base = replace(base, children=children(live(desire.credentials_secret(base, rotated)), *others))
    steps = plan(base).steps
    assert kinds(steps) == [SetPasswords, ApplyObject, Register]
    assert isinstance(steps[2], Register)
    assert steps[2].secrets is not None
    assert steps[2].secrets.app_password == "other"


def test_a_password_changed_in_postgres_is_set_again() -> None:
    refused = replace(served(), reading=Reading(refused=True))
    assert kinds(plan(refused).steps) == [SetPasswords, ApplyObject, Register]
    assert plan(replace(refused, reading=Reading(trouble=WorldError("UsageUnreadable", "broken")))).steps == ()


def test_a_new_sealing_key_seals_again() -> None:
    base = served()
    record = replace(base.record, secrets=replace(secrets_of(), newest_key=False))
    assert Register in kinds(plan(replace(base, record=record)).steps)


def test_no_secret_is_ever_shown() -> None:
    text = repr(plan(provisioned()).steps) + repr(provisioned().credentials) + repr(secrets_of())
    for secret in (CREDENTIALS.app_password, CREDENTIALS.migrator_password, CREDENTIALS.signing_keys):
        assert secret not in text


def test_a_changed_role_is_corrected() -> None:
    base = served()
    roles = dict(base.database.roles)
    roles["app"] = replace(roles["app"], connection_limit=999)
    base = replace(base, database=replace(base.database, roles=MappingProxyType(roles)))
    assert kinds(plan(base).steps)[0] is EnsureDatabase


def test_suspension_reaches_row_and_roles() -> None:
    base = served()
    suspended = replace(base, target=replace(base.target, spec=replace(base.target.spec, state="Suspended")))
    steps = plan(suspended).steps
    assert kinds(steps)[0] is EnsureDatabase
    settled = served(tenant_body(state="Suspended"))
    assert plan(settled).steps == ()
    assert settled.row is not None
    assert settled.row.state == "Suspended"


def test_a_lost_database_is_never_replaced_by_an_empty_one() -> None:
    base = served()
    with pytest.raises(UserError) as caught:
        plan(replace(base, database=world().database))
    assert caught.value.reason == "DatabaseLost"
    with pytest.raises(UserError, match="has oid 7 now"):
        plan(replace(base, database=replace(base.database, oid=7)))


def test_another_server_under_the_same_address_is_not_touched() -> None:
    base = served()
    with pytest.raises(WorldError) as caught:
        plan(replace(base, database=replace(base.database, system_identifier="other")))
    assert caught.value.reason == "WrongServer"


# Migration


def job(base: World, status: Json | None = None) -> Json:
    return live(desire.migration_job(base, 1), **(status or {}))


def with_job(base: World, *objects: Json) -> World:
    kept = [item for kind in base.children.by_kind.values() for item in kind]
    return replace(base, children=children(*kept, *objects))


def finished(kind: str, reason: str = "", seconds_ago: int = 0) -> Json:
    moment = (NOW - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"conditions": [{"type": kind, "status": "True", "reason": reason, "lastTransitionTime": moment}]}


def routed() -> World:
    base = provisioned()
    return with_job(base, *(live(route) for route in desire.routes(base)))


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
    assert plan(with_job(base, job(base))).steps == ()


def test_success_is_taken_in_the_row_first_then_the_mark() -> None:
    base = routed()
    steps = plan(with_job(base, job(base, finished("Complete")))).steps
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
    soon = plan(with_job(base, job(base, finished("Failed", "BackoffLimitExceeded", 1))))
    assert (soon.steps, soon.wait) == ((), 14.0)
    later = plan(with_job(base, job(base, finished("Failed", "BackoffLimitExceeded", 60))))
    assert [name_of(applied(step)) for step in later.steps] == ["tenant-seabreeze-migrate-0002-2"]


def test_a_final_failure_stops_until_something_changes() -> None:
    base = routed()
    failed = job(base, finished("Failed", "PodFailurePolicy", 9999))
    said = '{"result": "error", "reason": "WrongHead", "message": "the image ends at 0001", "revision": null}'
    stopped = plan(with_job(base, failed, pod_of("tenant-seabreeze-migrate-0002", 2, said)))
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
    (step,) = [s for s in plan(with_job(newer, job(base))).steps if isinstance(s, DeleteObject)]
    assert (step.kind, step.name) == (JOB, "tenant-seabreeze-migrate-0002")


def test_jobs_take_turns() -> None:
    busy = plan(replace(routed(), turn=False))
    assert (busy.steps, busy.queued) == ((), True)
    assert not plan(routed()).queued


def test_a_served_tenant_is_upgraded_and_stays_open() -> None:
    base = served()
    newer = replace(base, settings=settings(HOA_APP_SCHEMA_REVISION="0003"))
    steps = plan(newer).steps
    assert [name_of(applied(step)) for step in steps] == ["tenant-seabreeze-migrate-0003"]


def test_an_older_operator_does_not_migrate_back() -> None:
    older = replace(served(), settings=settings(HOA_APP_SCHEMA_REVISION="0001"))
    assert plan(older).steps == ()


def at_revision(base: World, revision: str) -> World:
    return replace(base, settings=settings(HOA_APP_SCHEMA_REVISION=revision))


@pytest.mark.parametrize("deployed", ["0002", "0004"])
def test_a_job_of_another_version_is_ended_before_anything_else_is_done_to_the_schema(deployed: str) -> None:
    running = job(at_revision(served(), "0003"))
    world = with_job(at_revision(served(), deployed), running)
    assert plan(world).steps == (
        DeleteObject(JOB, "tenant-seabreeze-migrate-0003", running["metadata"]["uid"], "SchemaCurrent"),
    )
    ending = {**running, "metadata": {**running["metadata"], "deletionTimestamp": "2026-07-01T12:00:00Z"}}
    waits = plan(with_job(at_revision(served(), deployed), ending))
    assert (waits.steps, waits.wait) == ((), 1.0)


def test_an_ended_job_of_another_version_is_left_to_its_time_to_live() -> None:
    done = job(at_revision(served(), "0003"), finished("Complete"))
    assert plan(with_job(served(), done)).steps == ()


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
    world = with_job(base, failed, pod_of("tenant-seabreeze-migrate-0003", 2))
    stop = plan(world).stop
    assert stop is not None
    assert stop[2].endswith("Until then the database stays at revision 0002")


def test_another_admin_is_invited_by_another_run() -> None:
    changed = served(tenant_body(admin={"email": "new@seabreeze.example", "name": "New"}))
    others = served()
    mixed = replace(changed, children=others.children)
    assert [kind_of(applied(step)) for step in plan(mixed).steps] == [JOB]


# Route and capacity


def test_a_removed_issuer_takes_its_ingress_along() -> None:
    domains = [{"host": "portal.example.com", "tls": {"issuerRef": {"name": "acme", "kind": "ClusterIssuer"}}}]
    had = served(tenant_body(domains=domains))
    now = replace(served(), children=had.children)
    steps = plan(now).steps
    assert [(step.kind, step.name) for step in steps if isinstance(step, DeleteObject)] == [
        (INGRESS, "tenant-seabreeze-clusterissuer-acme")
    ]


def test_dedicated_capacity_is_made_before_hosts_lead_there() -> None:
    base = replace(served(tenant_body(placement="Dedicated")), children=served().children)
    made = [name_of(applied(step)) for step in plan(base).steps if isinstance(step, ApplyObject)]
    assert made == ["tenant-seabreeze-app"] * 4
    assert desire.backend(base) == "hoa-connect-app"


def test_hosts_lead_to_the_own_service_once_a_pod_answers() -> None:
    base = served(tenant_body(placement="Dedicated"))
    own = [item for kind in base.children.by_kind.values() for item in kind if name_of(item) != "tenant-seabreeze-app"]
    up = [live(manifest, availableReplicas=1) for manifest in desire.own_capacity(base)]
    ready = replace(base, children=children(*own, *up))
    assert desire.backend(ready) == "tenant-seabreeze-app"
    assert [name_of(applied(step)) for step in plan(ready).steps] == ["tenant-seabreeze"]


def test_going_back_to_shared_moves_the_hosts_first() -> None:
    base = served()
    own = [
        live(manifest, availableReplicas=1)
        for manifest in desire.own_capacity(served(tenant_body(placement="Dedicated")))
    ]
    there = replace(base, target=replace(base.target, spec=replace(base.target.spec, placement="Dedicated")))
    there = replace(there, children=children(*own))
    kept = [item for kind in base.children.by_kind.values() for item in kind if kind_of(item) is SECRET]
    leads = replace(base, children=children(*kept, *own, *(live(route) for route in desire.routes(there))))
    first = plan(leads).steps
    assert [name_of(applied(step)) for step in first if isinstance(step, ApplyObject)] == ["tenant-seabreeze"]
    assert not [step for step in first if isinstance(step, DeleteObject)]
    moved = replace(base, children=children(*kept, *own, *(live(route) for route in desire.routes(base))))
    assert kinds(plan(moved).steps) == [DeleteObject] * 4


def test_without_the_shared_app_there_is_nothing_to_copy() -> None:
    base = replace(served(tenant_body(placement="Dedicated")), shared_app=None)
    assert desire.own_capacity(base) == []
    assert desire.own_capacity(replace(base, shared_app=shared_app())) != []

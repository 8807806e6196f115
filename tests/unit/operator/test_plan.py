"""The plan of a tenant that shall live: which steps, in which order, at every point of its life."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from hoa_operator import desire
from hoa_operator.conditions import in_sync
from hoa_operator.errors import UserError, WorldError
from hoa_operator.kinds import INGRESS, SECRET, Kind, kind_of, name_of
from hoa_operator.manifests.secrets import Credentials
from hoa_operator.plan import plan, survey
from hoa_operator.postgres.names import APP, role_name
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
from hoa_operator.world import Children, Reading, Record, Trouble, World
from tests.unit.operator.samples import (
    CREDENTIALS,
    OID,
    applied,
    children,
    kinds,
    live,
    placement,
    provisioned,
    row_of,
    secrets_of,
    served,
    shared_app,
    tenant_body,
    world,
)


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
    assert plan(replace(refused, reading=Reading(trouble=Trouble("UsageUnreadable", "broken")))).steps == ()


def test_a_new_sealing_key_seals_again() -> None:
    base = served()
    record = replace(base.record, secrets=replace(secrets_of(), newest_key=False))
    assert Register in kinds(plan(replace(base, record=record)).steps)


def test_no_secret_is_ever_shown() -> None:
    text = repr(plan(provisioned()).steps) + repr(provisioned().credentials) + repr(secrets_of())
    for secret in (CREDENTIALS.app_password, CREDENTIALS.migrator_password, CREDENTIALS.signing_keys):
        assert secret not in text


def with_a_changed_role() -> World:
    base = served()
    roles = dict(base.database.roles)
    roles["app"] = replace(roles["app"], connection_limit=999)
    return replace(base, database=replace(base.database, roles=MappingProxyType(roles)))


def without(base: World, kind: Kind) -> World:
    """Return the world without its objects of a kind."""
    return replace(base, children=Children({**base.children.by_kind, kind: ()}))


def test_a_changed_role_is_corrected() -> None:
    assert kinds(plan(with_a_changed_role()).steps)[0] is EnsureDatabase


def test_a_survey_tells_all_that_differs_each_thing_once() -> None:
    """What is put right goes step by step, and the routes wait for the database; a list of what differs does not."""
    base = without(with_a_changed_role(), INGRESS)
    assert INGRESS not in [kind_of(step.manifest) for step in plan(base).steps if isinstance(step, ApplyObject)]
    assert in_sync(survey(base)).message.partition("to have this done: ")[2].split("; ") == [
        f"correct the database: attributes of role {role_name(base.target.tenant_id, APP)}",
        "set the roles' passwords to the Secret's",
        "apply Secret tenant-seabreeze-migrator",
        "write the registry row (state Active, tier small)",
        "apply Ingress tenant-seabreeze",
    ]
    lost = without(without(served(), INGRESS), SECRET)
    assert kinds(survey(lost).steps) == [MintCredentials, ApplyObject]
    assert survey(served()) == plan(served())


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


# Route and capacity


def test_a_removed_issuer_takes_its_ingress_along() -> None:
    domains = [{"host": "portal.example.com", "tls": {"issuerRef": {"name": "acme", "kind": "ClusterIssuer"}}}]
    had = served(tenant_body(domains=domains))
    now = replace(served(), children=had.children)
    steps = plan(now).steps
    assert [(step.kind, step.name) for step in steps if isinstance(step, DeleteObject)] == [
        (INGRESS, "tenant-seabreeze-clusterissuer-acme")
    ]


ISSUED = {"host": "issued.example.com", "tls": {"issuerRef": {"name": "acme", "kind": "ClusterIssuer"}}}


def test_a_host_that_another_asks_for_is_given_up_route_first_before_the_next_is_claimed() -> None:
    had = served(tenant_body(domains=[{"host": "old.example.com"}, {"host": "kept.example.com"}, ISSUED]))
    now = served(tenant_body(domains=[{"host": "new.example.com"}, {"host": "kept.example.com"}]))
    passed_on = frozenset({"old.example.com", "issued.example.com"})
    swapping = replace(now, record=had.record, children=had.children, passed_on=passed_on)
    route, removed, register = plan(swapping).steps
    assert desire.hosts_of(applied(route)) == ["seabreeze.hoaconnect.test", "kept.example.com"], "nothing unclaimed"
    assert isinstance(removed, DeleteObject)
    assert removed.name == "tenant-seabreeze-clusterissuer-acme"
    assert isinstance(register, Register)
    assert had.row is not None
    assert register.row == replace(had.row, hosts=("seabreeze.hoaconnect.test", "kept.example.com"))
    left = replace(swapping, record=replace(had.record, row=register.row), passed_on=frozenset())
    claim = plan(left).steps[0]
    assert isinstance(claim, Register)
    assert claim.row.hosts == ("seabreeze.hoaconnect.test", "new.example.com", "kept.example.com")


def test_a_host_that_nobody_else_asks_for_goes_together_with_the_claim_on_the_next() -> None:
    had = served(tenant_body(domains=[{"host": "old.example.com"}]))
    now = served(tenant_body(domains=[{"host": "new.example.com"}]))
    first = plan(replace(now, record=had.record, children=had.children)).steps[0]
    assert isinstance(first, Register)
    assert first.row.hosts == ("seabreeze.hoaconnect.test", "new.example.com")


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

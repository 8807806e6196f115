"""What of a HOATenant may change later and what never does, with the words a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.platform import tenant
from tests.cluster.refusals import refused_change

if TYPE_CHECKING:
    from tests.cluster.kubectl import Kubectl

IMMUTABLE_SLUG = (
    "spec.slug: Forbidden: the slug is immutable (without one it is metadata.name), because links, logins and stored "
    "files depend on it; create a new tenant, or add a host under spec.domains"
)
IMMUTABLE_REGION = (
    "spec.region: Forbidden: the region is immutable (neither set, changed nor removed later), because it says where "
    "the tenant's data may lie; create a new tenant in the other region"
)
IMMUTABLE_SERVER = (
    "spec.database.serverName: Forbidden: the database server is immutable once set; restore the tenant into a new one "
    "to move it"
)
OTHER_SERVER = (
    "spec.database.serverName: Forbidden: the tenant's database already lives on another server "
    "(status.database.server); name that one, or leave serverName out"
)


def test_the_slug_never_changes(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"))
    assert refused_change(kubectl, "hoat", "acme", {"spec": {"slug": "other"}}) == [IMMUTABLE_SLUG]
    kubectl.patch("hoat", "acme", {"spec": {"slug": "acme"}})  # the name it has already
    assert refused_change(kubectl, "hoat", "acme", {"spec": {"slug": "other"}}) == [IMMUTABLE_SLUG]
    kubectl.apply(tenant("beta", slug="first"))
    assert refused_change(kubectl, "hoat", "beta", {"spec": {"slug": None}}) == [IMMUTABLE_SLUG]


def test_the_region_is_neither_set_changed_nor_removed_later(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"), tenant("beta", region="us-east-1"))
    assert refused_change(kubectl, "hoat", "acme", {"spec": {"region": "us-east-1"}}) == [IMMUTABLE_REGION]
    assert refused_change(kubectl, "hoat", "beta", {"spec": {"region": "eu-west-1"}}) == [IMMUTABLE_REGION]
    assert refused_change(kubectl, "hoat", "beta", {"spec": {"region": None}}) == [IMMUTABLE_REGION]


def test_the_database_server_stays_once_it_is_set(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"))
    kubectl.patch("hoat", "acme", {"spec": {"database": {"serverName": "first"}}})
    for change in ({"serverName": "second"}, {"serverName": None}, None):
        assert refused_change(kubectl, "hoat", "acme", {"spec": {"database": change}}) == [IMMUTABLE_SERVER]


def test_the_database_server_can_only_be_the_one_that_holds_the_data(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"))
    kubectl.patch_status("hoat", "acme", {"database": {"server": "first", "name": "hoa_connect_tenant_0"}})
    change = {"spec": {"database": {"serverName": "second"}}}
    assert refused_change(kubectl, "hoat", "acme", change) == [OTHER_SERVER]
    kubectl.patch("hoat", "acme", {"spec": {"database": {"serverName": "first"}}})


def test_a_server_that_differs_from_the_datas_stands_in_the_way_of_nothing(kubectl: Kubectl) -> None:
    kubectl.apply(*(tenant(name, database={"serverName": "second"}) for name in ("acme", "beta")))
    for name in ("acme", "beta"):
        kubectl.patch("hoat", name, {"metadata": {"finalizers": ["hoaconnect.com/teardown"]}})
        kubectl.patch_status("hoat", name, {"database": {"server": "first", "name": "hoa_connect_tenant_0"}})
        kubectl.patch_status("hoat", name, {"phase": "Ready"})
        kubectl.patch("hoat", name, {"spec": {"displayName": "New Name"}})
        kubectl.patch("hoat", name, {"metadata": {"finalizers": None}})
    other = {"spec": {"database": {"serverName": "third"}}}
    assert refused_change(kubectl, "hoat", "acme", other) == [IMMUTABLE_SERVER, OTHER_SERVER]
    kubectl.patch("hoat", "acme", {"spec": {"database": {"serverName": "first"}}})
    assert refused_change(kubectl, "hoat", "acme", {"spec": {"database": {"serverName": None}}}) == [IMMUTABLE_SERVER]
    kubectl.patch("hoat", "beta", {"spec": {"database": {"serverName": None}}})


def test_everything_else_may_change(kubectl: Kubectl) -> None:
    kubectl.apply(tenant("acme"))
    kubectl.apply(
        tenant("acme", displayName="New Name", tier="large", state="Suspended", placement="Dedicated", timeZone="UTC")
    )
    assert kubectl.get("hoat", "acme")["spec"]["displayName"] == "New Name"


def test_a_person_cannot_write_status_by_applying(kubectl: Kubectl) -> None:
    kubectl.apply({**tenant("acme"), "status": {"phase": "Ready"}})
    assert "status" not in kubectl.get("hoat", "acme")

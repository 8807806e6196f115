"""A tenant's year, as `kubectl describe hoat` tells it: every step once, in order, with its reason, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.operating import app_available, bring_up, condition, eventually, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_storage import becomes, keep_photos

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.platform import Platform

Json = dict[str, Any]
OWN = "tenant-seabreeze-app"


@pytest.fixture
def office(own_platform: Platform) -> Platform:
    """An installation that looks at its tenants every few seconds."""
    app_available(own_platform.kubectl)
    return own_platform


def story(platform: Platform) -> list[tuple[str, str, str]]:
    """Return the tenant's Events as type, reason and message, in the order they were written."""
    items = platform.kubectl.list("events", "--field-selector", "involvedObject.kind=HOATenant")
    items.sort(key=lambda item: int(item["metadata"]["resourceVersion"]))
    return [(item["type"], item["reason"], item["message"]) for item in items]


def changed(platform: Platform, until: Callable[[Json], bool], **spec: Any) -> None:
    """Change the spec, wait until that holds, and until nothing more happens."""
    platform.kubectl.apply(tenant("seabreeze", **spec))
    platform.kubectl.wait_for("hoatenant", "seabreeze", lambda body: until(body) and observed(body), 60)
    settled(platform)


def observed(body: Json) -> bool:
    return bool(body["status"]["observedGeneration"] == body["metadata"]["generation"])


def mail_leaves(platform: Platform) -> None:
    """Do what a worker does once the mail server took the invitation."""
    tenant_id = platform.kubectl.get("hoatenant", "seabreeze")["status"]["tenantID"].replace("-", "")
    with psycopg.connect(platform.postgres.dsn(f"hoa_connect_tenant_{tenant_id}")) as connection:
        connection.execute("UPDATE outbox SET state = 'done' WHERE dedupe_key LIKE 'welcome-mail:%'")
    platform.kubectl.wait_for(
        "hoatenant", "seabreeze", lambda body: condition(body, "WelcomeMailSent")["status"] == "True", 60
    )


def first_months(platform: Platform) -> None:
    """Come in, grow, shrink, take a domain and leave it again, be read-only for a while, be suspended and come back."""
    bring_up(platform)
    mail_leaves(platform)
    settled(platform)
    changed(platform, is_ready, homeowners=700)
    changed(platform, is_ready, homeowners=480)
    changed(platform, is_ready, homeowners=300)
    changed(platform, is_ready, homeowners=300, domains=[{"host": "portal.seabreeze.example"}])
    changed(platform, is_ready, homeowners=300)
    changed(platform, is_ready, homeowners=300, state="ReadOnly")
    changed(platform, lambda body: body["status"]["phase"] == "Suspended", homeowners=300, state="Suspended")
    changed(platform, is_ready, homeowners=300)


def repairs(platform: Platform) -> None:
    """Have an Ingress deleted, and changed, by hand."""
    kubectl = platform.kubectl
    before = kubectl.get("ingress", "tenant-seabreeze")["metadata"]["uid"]
    kubectl.delete("ingress", "tenant-seabreeze")
    kubectl.wait_for("ingress", "tenant-seabreeze", lambda body: body["metadata"]["uid"] != before)
    settled(platform)
    kubectl.patch("ingress", "tenant-seabreeze", {"spec": {"ingressClassName": "another"}})
    kubectl.wait_for("ingress", "tenant-seabreeze", lambda body: body["spec"]["ingressClassName"] == "traefik")
    settled(platform)


def own_capacity(platform: Platform) -> None:
    """Move to capacity of its own and back."""
    kubectl = platform.kubectl
    kubectl.apply(tenant("seabreeze", homeowners=300, placement="Dedicated"))
    kubectl.wait_for("deployment", OWN, lambda _: True)
    app_available(kubectl, name=OWN)
    kubectl.wait_for("hoatenant", "seabreeze", lambda body: body["status"]["placement"] == "Dedicated")
    settled(platform)
    changed(platform, lambda body: is_ready(body) and body["status"]["placement"] == "Shared", homeowners=300)


def last_months(platform: Platform) -> None:
    """Fill the storage, make room, name a tier that is not there, and one that is; then be upgraded."""
    small = {"storage": "1Gi"}
    changed(platform, is_ready, homeowners=300, limits=small)
    keep_photos(platform, 900 * 2**20)
    becomes(platform, "NearLimit")
    keep_photos(platform, 0)
    becomes(platform, "WithinLimit")
    settled(platform)
    changed(platform, lambda body: condition(body, "Stalled")["status"] == "True", homeowners=300, tier="jumbo")
    changed(platform, lambda body: condition(body, "Stalled")["status"] == "False", homeowners=300)


def test_a_year_is_told_step_by_step(office: Platform) -> None:
    operator = office.operator(HOA_RESYNC_SECONDS="4").start()
    first_months(office)
    repairs(office)
    own_capacity(office)
    last_months(office)
    told = story(office)
    operator.stop()
    later = office.operator("operator-1", HOA_RESYNC_SECONDS="4").start()
    settled(office, quiet=12.0)
    assert story(office) == told, "a restart and further looks tell nothing again"
    later.stop()
    office.operator("operator-2", HOA_RESYNC_SECONDS="4", HOA_APP_VERSION="9.9.9").start()
    eventually(lambda: office.kubectl.get("hoatenant", "seabreeze")["status"]["appVersion"] == "9.9.9", 60)
    settled(office)
    print(office.kubectl("describe", "hoat", "seabreeze"))  # noqa: T201 - for who reads it as a stranger would (-s)
    office.kubectl.delete("hoatenant", "seabreeze", "--timeout=60s")
    assert [(kind, reason) for kind, reason, _ in story(office)] == [(kind, reason) for kind, reason, _ in YEAR]
    for (_, reason, message), (_, _, words) in zip(story(office), YEAR, strict=True):
        assert words in message, reason


YEAR = [
    ("Normal", "DatabaseProvisioned", "database hoa_connect_tenant_"),
    ("Normal", "SchemaMigrated", "at revision 0002"),
    ("Normal", "Ready", "serving at http://seabreeze.hoaconnect.test"),
    ("Normal", "WelcomeMailSent", "the invitation went to"),
    ("Normal", "TierChanged", "from small to large: 700 homeowners"),
    ("Normal", "TierChanged", "from large to medium: 300 homeowners"),
    ("Normal", "DomainAdded", "portal.seabreeze.example leads here"),
    ("Normal", "DomainRemoved", "portal.seabreeze.example leads here no more"),
    ("Normal", "StateChanged", "from Active to ReadOnly"),
    ("Normal", "StateChanged", "from ReadOnly to Suspended"),
    ("Normal", "StateChanged", "from Suspended to Active"),
    ("Normal", "Repaired", "Ingress tenant-seabreeze was deleted; it is made again"),
    ("Normal", "Repaired", "Ingress tenant-seabreeze was changed by kubectl-patch; it is put back"),
    ("Normal", "PlacementChanged", "capacity from Shared to Dedicated"),
    ("Normal", "PlacementChanged", "capacity from Dedicated to Shared"),
    ("Warning", "StorageNearLimit", "of 1Gi"),
    ("Normal", "StorageRelieved", "of 1Gi"),
    ("Warning", "TierUnknown", "use Auto or one of: small, medium, large, enterprise"),
    ("Normal", "Recovered", "what was wrong is over: spec.tier 'jumbo' is no HOATier"),
    ("Normal", "AppUpgraded", "to 9.9.9"),
    ("Normal", "Deleting", "the tenant is being deleted"),
    ("Normal", "DatabaseRetained", "hoa_connect_deleted_"),
]

"""A tenant's year, as `kubectl describe hoat` tells it: every step once, in order, with its reason, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.describing import Described
from tests.cluster.operating import app_available, bring_up, condition, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_storage import becomes, keep_photos
from tests.faults.words import lacks
from tests.overlay import HEAD, NEXT, Release, heal, make_release, poison

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.jobs import JobRunner
    from tests.cluster.platform import Platform

Json = dict[str, Any]
OWN = "tenant-seabreeze-app"


@pytest.fixture(scope="module")
def later(job_runner: JobRunner, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The next version of the app, with a migration that some data does not allow."""
    return job_runner.offer(make_release(tmp_path_factory.mktemp("later"), "expand", "later"))


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


def database(platform: Platform) -> str:
    """Return where the tenant's own database is reached."""
    name: str = platform.kubectl.get("hoatenant", "seabreeze")["status"]["database"]["name"]
    return platform.postgres.dsn(name)


def mail_leaves(platform: Platform) -> None:
    """Do what a worker does once the mail server took the invitation."""
    with psycopg.connect(database(platform)) as connection:
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


def rotation(platform: Platform) -> None:
    """Have the credentials replaced on request."""
    before = platform.kubectl.get("hoatenant", "seabreeze")["status"]["credentials"]["login"]

    def rotated(body: Json) -> bool:
        over = condition(body, "CredentialsReady")["reason"] == "InForce"
        return is_ready(body) and over and body["status"]["credentials"]["login"] != before

    asked = {"rotateRequestedAt": datetime.now(UTC).isoformat()}
    changed(platform, rotated, homeowners=300, credentials=asked)


def observation(platform: Platform) -> None:
    """Be only observed while somebody deletes the Ingress, and managed again."""
    kubectl = platform.kubectl
    changed(platform, lambda body: in_sync(body) == "True", homeowners=300, managementPolicy="ObserveOnly")
    kubectl.delete("ingress", "tenant-seabreeze")
    body = kubectl.wait_for("hoatenant", "seabreeze", lambda found: in_sync(found) == "False")
    assert lacks(condition(body, "InSync")) == ""
    settled(platform)
    changed(platform, is_ready, homeowners=300)


def in_sync(body: Json) -> str:
    return str(condition(body, "InSync")["status"])


def last_months(platform: Platform) -> None:
    """Fill the storage, make room, name a tier that is not there, and one that is."""
    small = {"storage": "1Gi"}
    changed(platform, is_ready, homeowners=300, limits=small)
    keep_photos(platform, 900 * 2**20)
    becomes(platform, "NearLimit")
    keep_photos(platform, 0)
    becomes(platform, "WithinLimit")
    settled(platform)
    changed(platform, lambda body: condition(body, "Stalled")["status"] == "True", homeowners=300, tier="jumbo")
    changed(platform, lambda body: condition(body, "Stalled")["status"] == "False", homeowners=300)


def upgrade(platform: Platform, release: Release) -> None:
    """Be taken to the next version of the app, for which some data has to be mended first."""
    body = platform.kubectl.get("hoatenant", "seabreeze")
    with psycopg.connect(database(platform), autocommit=True) as connection:
        poison(connection, body["status"]["tenantID"])
        platform.operator("operator-2", **SOON, **release.settings()).start()
        platform.kubectl.wait_for("hoatenant", "seabreeze", lambda found: migrated(found) == "CheckViolation", 90)
        settled(platform)
        told = Described.of(platform.kubectl("describe", "hoat", "seabreeze"))
        assert told.states() == {**WELL, **FAILED}
        assert [lacks(found) for found in told.conditions] == [""] * len(told.conditions)
        assert "Degraded" in told.text
        heal(connection)
    platform.kubectl("annotate", "hoat", "seabreeze", "hoaconnect.com/retry=now")
    platform.kubectl.wait_for(
        "hoatenant", "seabreeze", lambda found: is_ready(found) and found["status"]["schemaRevision"] == NEXT, 60
    )
    settled(platform)


def migrated(body: Json) -> str:
    return str(condition(body, "SchemaCurrent")["reason"])


#: How often an operator of this test looks, and how long the login before a rotation stays open; both short.
SOON = {"HOA_RESYNC_SECONDS": "4", "HOA_CREDENTIALS_OVERLAP_SECONDS": "2"}


def test_a_year_is_told_step_by_step(office: Platform, later: Release) -> None:
    operator = office.operator(**SOON).start()
    first_months(office)
    repairs(office)
    own_capacity(office)
    rotation(office)
    observation(office)
    last_months(office)
    told = story(office)
    operator.stop()
    again = office.operator("operator-1", **SOON).start()
    settled(office, quiet=12.0)
    assert story(office) == told, "a restart and further looks tell nothing again"
    again.stop()
    upgrade(office, later)
    is_described(office)
    office.kubectl.delete("hoatenant", "seabreeze", "--timeout=60s")
    assert [(kind, reason) for kind, reason, _ in story(office)] == [(kind, reason) for kind, reason, _ in YEAR]
    for (_, reason, message), (_, _, words) in zip(story(office), YEAR, strict=True):
        assert words in message, reason


def is_described(platform: Platform) -> None:
    """Hold what a person reads of the tenant to what happened: the conditions as they are, the Events in their order."""
    told = Described.of(platform.kubectl("describe", "hoat", "seabreeze"))
    assert told.states() == WELL
    assert list(told.states()) == list(WELL), "Ready is read first"
    assert told.said("Ready") == "http://seabreeze.hoaconnect.test"
    assert told.said("SchemaCurrent") == f"at revision {NEXT}"
    told.holds_events(platform.kubectl.list("events", "--field-selector", "involvedObject.name=seabreeze"))
    assert [(kind, reason) for kind, reason, _ in story(platform)] == [(kind, reason) for kind, reason, _ in YEAR[:-2]]


#: What stands of each condition when all is well, in the order in which it is read.
WELL = {
    "Ready": ("True", "Serving"),
    "SpecAccepted": ("True", "Accepted"),
    "CredentialsReady": ("True", "InForce"),
    "DatabaseReady": ("True", "Provisioned"),
    "SchemaCurrent": ("True", "Current"),
    "RouteReady": ("True", "Routed"),
    "CapacityReady": ("True", "Shared"),
    "StorageWithinLimit": ("True", "WithinLimit"),
    "WelcomeMailSent": ("True", "Sent"),
    "Stalled": ("False", "Progressing"),
}
#: What differs of them while a migration has failed for good: the tenant stays served.
FAILED = {"SchemaCurrent": ("False", "CheckViolation"), "Stalled": ("True", "CheckViolation")}


YEAR = [
    ("Normal", "DatabaseProvisioned", "database hoa_connect_tenant_"),
    ("Normal", "SchemaMigrated", f"at revision {HEAD}"),
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
    ("Normal", "CredentialsRotated", "the app logs in as hoa_connect_tenant_"),
    ("Warning", "IngressNotCurrent", "no longer ready: Ingress tenant-seabreeze is not what it shall be"),
    ("Warning", "Differs", "set it to Managed to have this done: apply Ingress tenant-seabreeze"),
    ("Normal", "Ready", "serving at http://seabreeze.hoaconnect.test"),
    ("Warning", "StorageNearLimit", "of 1Gi"),
    ("Normal", "StorageRelieved", "of 1Gi"),
    ("Warning", "TierUnknown", "use Auto or one of: small, medium, large, enterprise"),
    ("Normal", "Recovered", "what was wrong is over: spec.tier 'jumbo' is no HOATier"),
    ("Normal", "AppUpgraded", f"to 9.{int(NEXT)}.0-later"),
    ("Warning", "CheckViolation", "mend the data"),
    ("Normal", "Recovered", f"what was wrong is over: Job tenant-seabreeze-migrate-{NEXT}"),
    ("Normal", "SchemaUpgraded", f"schema from {HEAD} to {NEXT}"),
    ("Normal", "Deleting", "the tenant is being deleted"),
    ("Normal", "DatabaseRetained", "hoa_connect_deleted_"),
]

"""The operator of this build over tenants of the previous one, and back: nothing is made anew, everybody stays served."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.cluster.api import Api
from tests.cluster.operating import app_available, condition, is_ready, settled
from tests.cluster.platform import tenant
from tests.cluster.test_operator_deletion import REGISTRY
from tests.cluster.test_operator_lead import leads
from tests.figures import record
from tests.programs import REPOSITORY
from tests.rounds import Rounds
from tests.waiting import soon, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.fix_earlier import Site
    from tests.cluster.platform import Operator, Platform
    from tests.fix_postgres import PostgresServer

Json = dict[str, Any]
OWN = "tenant-pinnacle-app"
TENANTS: dict[str, Json] = {
    "seabreeze": {},
    "pinnacle": {
        "placement": "Dedicated",
        "homeowners": 700,
        "domains": [{"host": "portal.pinnacle.example", "tls": {"secretName": "portal"}}],
        "limits": {"databaseConnections": 7, "cpu": "200m"},
        "branding": {"primaryColor": "#123456"},
    },
    "coastal": {"state": "ReadOnly"},
    "harvest": {"state": "Suspended", "database": {"deletionPolicy": "Delete"}},
}
SERVED = {"seabreeze": "Active", "pinnacle": "Active", "coastal": "ReadOnly", "harvest": "Suspended"}
KINDS = ("secret", "service", "ingress", "deployment", "pdb", "hpa")
#: What of a spec makes a difference for a tenant's people or pods; of a Deployment, the template: another one starts its pods anew.
MATTERS: dict[str, Callable[[Json], Any]] = {
    "deployment": lambda spec: (spec["selector"], spec["template"]),
    "ingress": lambda spec: spec,
    "service": lambda spec: spec,
    "pdb": lambda spec: spec,
    "hpa": lambda spec: spec,
}
IMAGE = "hoa-connect/app:previous"


def things(platform: Platform) -> dict[str, Any]:
    """Return the identity and the spec of everything that was made for tenants, and what lets people in."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        for item in platform.kubectl.list(kind, "-l", "hoaconnect.com/tenant"):
            name = f"{kind}/{item['metadata']['name']}"
            found[name] = item["metadata"]["uid"]
            if kind in MATTERS:
                found[f"{name}/spec"] = MATTERS[kind](item["spec"])
            for key, value in item.get("data", {}).items() if kind == "secret" else ():
                found[f"{name}/{key}"] = hashlib.sha256(value.encode()).hexdigest()
    with psycopg.connect(platform.postgres.dsn()) as connection:
        roles = "SELECT 'role/' || rolname, (oid, rolpassword)::text FROM pg_authid WHERE rolname LIKE 'hoa_connect_tenant_%'"
        databases = "SELECT 'database/' || datname, oid FROM pg_database WHERE datname LIKE 'hoa_connect_tenant_%'"
        found |= dict(connection.execute(roles).fetchall()) | dict(connection.execute(databases).fetchall())
    with psycopg.connect(platform.postgres.dsn(REGISTRY)) as connection:
        rows = "SELECT 'row/' || name, (tenant_id, uid, slug, hosts, state, placement)::text FROM tenants"
        found |= dict(connection.execute(rows).fetchall())
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what is gone or not the same any more; what has come is no harm."""
    return [name for name, value in before.items() if after.get(name) != value]


@dataclass
class Onlooker(Rounds):
    """Looks all the time whether every tenant is served as it shall be, and Ready."""

    pause = 0.05
    platform: Platform
    seen: list[str] = field(default_factory=list)
    looks: int = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a connection to the API and one to the registry."""
        plane = self.platform.plane
        self._api = Api(plane.port, plane.authority.certificate, plane.admin_token, "onlooker")
        with closing(self._api), psycopg.connect(self.platform.postgres.dsn(REGISTRY), autocommit=True) as registry:
            self._registry = registry
            yield

    def go_round(self) -> None:
        """Look once at the registry and at every HOATenant."""
        served: dict[str, str] = dict(self._registry.execute("SELECT name, state FROM tenants").fetchall())
        self.seen += [f"{name} is {served.get(name)}" for name in SERVED if served.get(name) != SERVED[name]]
        path = f"/apis/hoaconnect.com/v1alpha1/namespaces/{self.platform.namespace}/hoatenants"
        for body in self._api.call("GET", path)["items"]:
            ready = condition(body, "Ready")
            if ready["status"] != "True" and ready["reason"] != "Suspended":
                self.seen.append(f"{body['metadata']['name']} is not Ready: {ready['reason']}")
        self.looks += 1


def take_over(platform: Platform, old: Operator, name: str, **settings: str) -> Operator:
    """Start another operator and end the old one, as a rollout of the operator's Deployment does."""
    operator = platform.operator(name, **settings).start()
    operator.process.wait_until(lambda: operator.answers("readyz"))
    old.stop()
    until(lambda: leads(operator), f"{name} to lead", 30)
    return operator


def brought_up(platform: Platform, **settings: str) -> Operator:
    """Start the first operator and wait until all tenants are Ready."""
    app_available(platform.kubectl)
    operator = platform.operator("operator-0", **settings).start()
    for name, spec in TENANTS.items():
        platform.kubectl.apply(tenant(name, **spec))
    platform.kubectl.wait_for("deployment", OWN, lambda _: True, 90)
    app_available(platform.kubectl, name=OWN)
    for name in TENANTS:
        platform.kubectl.wait_for("hoatenant", name, is_current, 90)
    settled(platform)
    return operator


#: What an upgrade may write, as verb, resource and name, and why.
ALLOWED = {
    "patch hoatenants/status .+": "what is said of a tenant may be said in other words",
    "patch hoadatabaseservers/status .+": "the same of a server, and of its template",
    "create events .*": "what a person wants to be told",
    "patch jobs tenant-.+-migrate-.+": "the migration that this build's schema and grants ask for",
    "patch secrets tenant-.+-migrator": "marks that a migration is begun, and that it is taken in",
    "delete jobs tenant-.+-migrate-.+": "a migration of the previous build that has not ended",
    "(patch|delete) (jobs|secrets) template-.+": "the template moves with the schema",
}


def explained(platform: Platform, mark: int) -> Counter[str]:
    """Count the operator's writes since `mark` by verb and resource; one that has no reason fails."""
    writes = platform.operator_writes()[mark:]
    said = [f"{write['verb']} {write['resource']} {write['name']}" for write in writes]
    assert [text for text in said if not any(re.fullmatch(known, text) for known in ALLOWED)] == []
    return Counter(text.rpartition(" ")[0] for text in said)


@pytest.mark.figures
def test_an_upgrade_leaves_tenants_untouched_and_served_and_the_way_back_does_no_harm(
    site: Site, own_postgres: PostgresServer, previous_build: Path
) -> None:
    site.jobs.images[IMAGE] = previous_build / "app"
    platform = site.install("upgrade", own_postgres.access, previous_build)
    old = brought_up(platform, HOA_APP_IMAGE=IMAGE)
    before, mark = things(platform), len(platform.operator_writes())
    with Onlooker(platform) as onlooker:
        platform.bring_to(REPOSITORY, site.helm)
        new = take_over(platform, old, "operator-1")
        until(lambda: reconciles(new) >= len(TENANTS), "every tenant to be looked at", 60)
        for name in TENANTS:
            platform.kubectl.wait_for("hoatenant", name, is_current, 120)
        settled(platform, quiet=5, timeout=90)
    assert onlooker.seen == []
    assert onlooker.looks > 10
    after = things(platform)
    assert changed(before, after) == []
    counted = explained(platform, mark)
    note = ", ".join(f"{number} {what}" for what, number in sorted(counted.items()))
    record("API writes per tenant at an upgrade of the operator", sum(counted.values()) / len(TENANTS), 25, note=note)
    assert sum(counted.values()) / len(TENANTS) <= 25, note

    mark = len(platform.operator_writes())
    new = take_over(platform, new, "operator-2", HOA_RESYNC_SECONDS="3")
    until(lambda: reconciles(new) >= 2 * len(TENANTS), "every tenant to be looked at twice", 60)
    assert platform.operator_writes()[mark:] == []

    with Onlooker(platform) as onlooker:
        platform.bring_to(previous_build, site.helm, crds=False)
        back = platform.operator("operator-3", HOA_APP_IMAGE=IMAGE).start()
        new.stop()
        until(lambda: gave_up(back) or reconciles(back) >= len(TENANTS), "the way back", 60)
    assert onlooker.seen == []
    assert changed(after, things(platform)) == []

    back.kill()
    platform.bring_to(REPOSITORY, site.helm)
    again = platform.operator("operator-4").start()
    until(lambda: leads(again) and reconciles(again) >= len(TENANTS), "every tenant to be looked at again", 60)
    for name in TENANTS:
        platform.kubectl.wait_for("hoatenant", name, is_current, 120)
    settled(platform, timeout=90)
    assert changed(after, things(platform)) == []


def is_current(body: Json) -> bool:
    """Whether a tenant is as it shall be now, and on the schema that the operator installs."""
    as_wanted = is_ready(body) or condition(body, "Ready")["reason"] == "Suspended"
    return bool(as_wanted and condition(body, "SchemaCurrent")["status"] == "True")


def gave_up(operator: Operator) -> bool:
    """Whether it ended by itself, as one does that meets a registry of a later build."""
    return soon(lambda: not operator.process.running, 1.0, 0.05) is True


def reconciles(operator: Operator) -> float:
    """Return how many looks at tenants went well; none where it does not answer, as one that has ended."""
    try:
        return operator.metrics().get('hoa_operator_reconciles_total{kind="tenant",result="ok"}', 0.0)
    except OSError:
        return 0.0

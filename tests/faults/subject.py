"""One tenant as a life has it: what is done to it, what is waited for, and all of its world."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from tests.cluster.api import ApiError
from tests.faults.eyes import settled
from tests.faults.world import differences, world_of
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.jobs import JobRunner
    from tests.faults.actions import End
    from tests.faults.eyes import Eyes
    from tests.faults.installation import Installation
    from tests.faults.ledger import Ledger

Json = dict[str, Any]
T = TypeVar("T")
PATIENCE = 75.0


@dataclass(frozen=True)
class Scene:
    """Where lives are lived."""

    installation: Installation
    jobs: JobRunner
    eyes: Eyes
    ledger: Ledger


#: What conditions say that goes by: what was not looked at yet, and a migration Job that is under way, beside which a tenant
#: is served and counts as settled.
PASSING: Final = (
    *("Unknown", "Unreadable", "DedicatedNotAvailable"),
    *("Migrating", "MigrationRetrying", "ImagePullFailed", "PodCannotStart", "PodUnschedulable"),
)


@dataclass
class Subject:
    """`ids` are the tenant ids, as Postgres' names have them, that its data went by so far."""

    scene: Scene
    name: str
    ids: set[str] = field(default_factory=set)

    @property
    def installation(self) -> Installation:
        """Where it lives."""
        return self.scene.installation

    def world(self) -> Json:
        """Return the tenant's world without what a life may leave behind: Jobs that ended, invitations that were revoked,
        mail, what rotations leave; and whether its data had another owner before."""
        found = patiently(lambda: world_of(self.installation, self.name))
        world: Json = json.loads(json.dumps(found, default=str).replace("<tenant-id>", "<uid>"))
        children = {name: body for name, body in world["children"].items() if not name.startswith("Job ")}
        world["children"] = children
        inside = world.get("inside") or {}
        inside["invitations"] = [row for row in inside.get("invitations", ()) if not row["revoked"]]
        inside.pop("outbox", None)  # but not "invited": who is to be mailed, once each
        return without_rotations(world)

    def calm_world(self) -> Json:
        """Return the world as it is when the operator is at peace with it: between storms."""

        def look() -> Json | None:
            self.settle()
            found = self.world()
            status = found["tenant"]["status"]
            unsure = [said for said in status["conditions"].values() if any(word in said for word in PASSING)]
            return None if unsure or "retry" in status else found

        return until(look, f"{self.name} to be at peace", PATIENCE, 0.3)

    def becomes(self, wanted: Json, why: str) -> None:
        """Wait until the world is as wanted."""
        found: Json = {}

        def same() -> bool:
            nonlocal found
            found = self.world()
            return found == wanted

        until(same, lambda: f"{self.name}: {why}: {differences(found, wanted)[:12]}", PATIENCE, 0.3)

    def write(self, spec: Json) -> Json:
        """Make the HOATenant's spec exactly this, as `kubectl replace` does; a conflict with the operator is read again."""
        path = "/apis/hoaconnect.com/v1alpha1/namespaces/" + self.installation.objects.namespace + "/hoatenants"
        call = self.installation.objects.api.call
        body = {
            "apiVersion": "hoaconnect.com/v1alpha1",
            "kind": "HOATenant",
            "metadata": {"name": self.name},
        }
        while True:
            live = self.installation.objects.find("HOATenant", self.name)
            try:
                if live is None:
                    made = call("POST", f"{path}?fieldValidation=Strict", {**body, "spec": spec})
                    self._met(made)
                else:
                    made = call("PUT", f"{path}/{self.name}?fieldValidation=Strict", {**live, "spec": spec})
            except ApiError as error:
                if error.status != 409:
                    raise
            else:
                if live is None or live["spec"]["admin"]["email"] != spec["admin"]["email"]:
                    self.scene.ledger.may_migrate[self.name] += 1
                return made

    def _met(self, body: Json) -> None:
        self.ids.add(body["metadata"]["uid"].replace("-", ""))

    def settle(self) -> Json:
        """Wait until the operator is done with the spec as it is."""
        generation = self.installation.objects.get("HOATenant", self.name)["metadata"]["generation"]

        def done(body: Json | None) -> bool:
            return body is not None and body["metadata"]["generation"] >= generation and settled(body)

        found = self.scene.eyes.wait(self.name, done, "settled", PATIENCE)
        assert found is not None
        self.ids.add(found["status"]["tenantID"].replace("-", ""))
        return found

    def tenant_id(self) -> str:
        body = self.installation.objects.get("HOATenant", self.name)
        return str(body["status"]["tenantID"].replace("-", ""))

    def sql(self, statement: str) -> None:
        def run() -> None:
            with psycopg.connect(self.installation.server.access.dsn(), autocommit=True) as session:
                session.execute(statement.encode())

        patiently(run)

    def end(self, end: End) -> None:
        """Delete the HOATenant, and wait until it is gone; see that its data are, too, if they are not to stay."""
        objects, tenant_id = self.installation.objects, self.tenant_id()
        spec = copy.deepcopy(objects.get("HOATenant", self.name)["spec"])
        database = spec.get("database", {})
        spec["database"] = {**database, "deletionPolicy": end.policy, "undeleteWindow": end.window}
        spec["deletionProtection"] = "Disabled"
        self.write(spec)
        self.settle()
        if not end.data_stays:
            self.scene.ledger.may_be_dropped[tenant_id] = time.monotonic()
        objects.delete("HOATenant", self.name)
        self.scene.eyes.wait(self.name, lambda body: body is None, "gone", PATIENCE)
        if not end.data_stays:
            self._see_nothing_left(tenant_id)

    def _see_nothing_left(self, tenant_id: str) -> None:
        empty: Json = {"row": [], "hosts": [], "placement": []}

        def left() -> list[Any]:
            found = patiently(lambda: world_of(self.installation, self.name, tenant_id))
            children = {name for name in found["children"] if not name.startswith("Job ")}
            return [found["registry"], found["roles"], found["database"], children]

        until(lambda: left() == [empty, {}, [], set()], lambda: f"{self.name} left behind: {left()}", PATIENCE, 0.5)

    def passwords(self) -> Json:
        held = self.installation.objects.get("Secret", f"tenant-{self.name}-credentials")["data"]
        return {key: held[key] for key in ("app-password", "migrator-password")}


def without_rotations(world: Json) -> Json:
    """Leave out the second login, as long as it lets nobody in, and how many keys are kept for what they once signed."""
    roles = world["roles"]
    closed = {
        name for name, role in roles.items() if name.endswith("_app_b") and not (role["login"] or role["password"])
    }
    databases = [
        {**one, "acl": [entry for entry in one["acl"] if entry.partition("=")[0] not in closed]}
        for one in world["database"]
    ]
    return {
        **world,
        "roles": {name: role for name, role in roles.items() if name not in closed},
        "database": databases,
        "logins": {key: value for key, value in world["logins"].items() if key != "signing keys"},
    }


def patiently(look: Callable[[], T]) -> T:
    """Ask Postgres again while a fault of the test has it away."""
    away: psycopg.OperationalError | None = None

    def asked() -> tuple[T] | None:
        nonlocal away
        try:
            return (look(),)
        except psycopg.OperationalError as error:
            away = error
            return None

    return until(asked, lambda: f"Postgres to be back: {away}", 60, 0.2)[0]

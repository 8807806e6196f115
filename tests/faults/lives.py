"""Lives a generated life in an installation, and judges it: what is refused changes nothing, what is reverted brings the
former world back, what was broken by hand is put right, and the end equals a fresh run with the same spec."""

from __future__ import annotations

import base64
import copy
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
import pytest

from tests.cluster.api import ApiError
from tests.cluster.jobs import Fault
from tests.faults.actions import (
    DROPPED,
    Action,
    Apply,
    End,
    Hand,
    Impossible,
    Life,
    Reborn,
    Refused,
    Reverted,
    Rotated,
    Struck,
    describe,
)
from tests.faults.effects import Answer, Delay, Drop, Duplicate, Effect, ReplyLost, Rule
from tests.faults.eyes import settled
from tests.faults.world import differences, world_of
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.jobs import JobRunner
    from tests.faults.apirequest import ApiRequest
    from tests.faults.eyes import Eyes
    from tests.faults.installation import Installation
    from tests.faults.ledger import Ledger
    from tests.faults.statement import Statement

Json = dict[str, Any]
T = TypeVar("T")
PATIENCE = 75.0
EFFECTS: dict[str, Effect] = {
    "drop": Drop(),
    "delay": Delay(0.7),
    "duplicate": Duplicate(),
    "reply lost": ReplyLost(),
    "409": Answer(409),
    "422": Answer(422),
    "429": Answer(429, retry_after=1),
    "500": Answer(500),
}
JOB_FAULTS: dict[str, Json] = {
    "killed": {"exit_code": 137},
    "passing": {"exit_code": 3},
    "unexpected": {"exit_code": 1},
    "image": {"image_pull_error": True},
}
IMAGE_AWAY_SECONDS = 2.0


@dataclass(frozen=True)
class Scene:
    """Where lives are lived."""

    installation: Installation
    jobs: JobRunner
    eyes: Eyes
    ledger: Ledger


@dataclass
class Liver:
    """One life as it is lived: `done` counts the actions that went well, `over` is all of them once it has ended."""

    scene: Scene
    life: Life
    done: int = 0
    over: int = 0
    ids: set[str] = field(default_factory=set)
    strikes: list[Rule[ApiRequest] | Rule[Statement]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The tenant's name."""
        return self.life.name

    def run(self) -> None:
        """Live; AssertionError says what an oracle found."""
        try:
            for action in self.life.actions:
                self.act(action)
                self.done += 1
        finally:
            self.over = len(self.life.actions)

    def told(self) -> str:
        """Return the shortest prefix of the life that shows what went wrong."""
        shown = self.life.actions[: self.done + 1]
        return "\n".join(f"  {number}. {describe(action)}" for number, action in enumerate(shown, 1))

    def act(self, action: Action) -> None:
        """Carry one action out, with everything it must lead to."""
        match action:
            case Apply(spec, _, awaited):
                self._write(spec)
                if awaited:
                    self._await()
            case Refused(spec):
                self._refused(spec)
            case Impossible(spec, back):
                self._impossible(spec, back)
            case Reverted(spec, back, _, awaited):
                self._reverted(spec, back, awaited=awaited)
            case Hand(what):
                self._by_hand(what)
            case Struck(where, what, nth):
                self._strike(where, what, nth)
            case Reborn(end):
                self._reborn(end)
            case Rotated():
                self._rotated()

    def world(self) -> Json:
        """Return the tenant's world without what a life may leave behind: Jobs that ended, invitations that were revoked,
        mail, what rotations leave; and whether its data had another owner before."""
        found = patiently(lambda: world_of(self.scene.installation, self.name))
        world: Json = json.loads(json.dumps(found, default=str).replace("<tenant-id>", "<uid>"))
        children = {name: body for name, body in world["children"].items() if not name.startswith("Job ")}
        world["children"] = children
        inside = world.get("inside") or {}
        inside["invitations"] = [row for row in inside.get("invitations", ()) if not row["revoked"]]
        inside.pop("outbox", None)
        return without_rotations(world)

    def becomes(self, wanted: Json, why: str) -> None:
        """Wait until the world is as wanted."""
        found: Json = {}

        def same() -> bool:
            nonlocal found
            found = self.world()
            return found == wanted

        until(same, lambda: f"{self.name}: {why}: {differences(found, wanted)[:12]}", PATIENCE, 0.3)

    def fresh(self) -> None:
        """Delete the tenant with its data, see that nothing is left, make it anew, and compare the two worlds."""
        was = self.world()
        self._end(DROPPED)
        self._write(self.life.final)
        self._await()
        self.becomes(was, "a fresh run with the same spec differs from the end of the life (found: fresh)")

    # What the actions do

    def _write(self, spec: Json) -> Json:
        """Make the HOATenant's spec exactly this, as `kubectl replace` does; a conflict with the operator is read again."""
        path = "/apis/hoaconnect.com/v1alpha1/namespaces/" + self.scene.installation.objects.namespace + "/hoatenants"
        call = self.scene.installation.objects.api.call
        body = {
            "apiVersion": "hoaconnect.com/v1alpha1",
            "kind": "HOATenant",
            "metadata": {"name": self.name},
        }
        while True:
            live = self.scene.installation.objects.find("HOATenant", self.name)
            try:
                if live is None:
                    made = call("POST", f"{path}?fieldValidation=Strict", {**body, "spec": spec})
                    self._met(made)
                    return made
                return call("PUT", f"{path}/{self.name}?fieldValidation=Strict", {**live, "spec": spec})
            except ApiError as error:
                if error.status != 409:
                    raise

    def _met(self, body: Json) -> None:
        self.ids.add(body["metadata"]["uid"].replace("-", ""))

    def _await(self) -> Json:
        """Wait until the operator is done with the spec as it is."""
        generation = self.scene.installation.objects.get("HOATenant", self.name)["metadata"]["generation"]

        def done(body: Json | None) -> bool:
            return body is not None and body["metadata"]["generation"] >= generation and settled(body)

        found = self.scene.eyes.wait(self.name, done, "settled", PATIENCE)
        assert found is not None
        self.ids.add(found["status"]["tenantID"].replace("-", ""))
        return found

    def _refused(self, spec: Json) -> None:
        objects = self.scene.installation.objects
        before = objects.get("HOATenant", self.name)
        with pytest.raises(ApiError) as refusal:
            self._write(spec)
        assert refusal.value.status in (400, 422), refusal.value
        after = objects.get("HOATenant", self.name)
        for part in ("generation", "uid"):
            assert after["metadata"][part] == before["metadata"][part], "what was refused changed something"
        assert after["spec"] == before["spec"], "what was refused changed something"

    def _impossible(self, spec: Json, back: Json) -> None:
        was = self.world()
        self._write(spec)

        def said(body: Json | None) -> bool:
            conditions = (body or {}).get("status", {}).get("conditions") or ()
            return any(c["type"] == "Stalled" and c["status"] == "True" for c in conditions)

        self.scene.eyes.wait(self.name, said, "refused by the operator", PATIENCE)
        self._write(back)
        self._await()
        self.becomes(was, "a change that could not be had, and was taken back, left something")

    def _reverted(self, spec: Json, back: Json, *, awaited: bool) -> None:
        was = self.world()
        self._write(spec)
        if awaited:
            self._await()
        self._write(back)
        self._await()
        self.becomes(was, "reverting a change did not bring the former world back")

    def _by_hand(self, what: str) -> None:
        was = self.world()
        objects, child = self.scene.installation.objects, f"tenant-{self.name}"
        match what:
            case "delete credentials":
                held = objects.get("Secret", f"{child}-credentials")["data"]
                objects.delete("Secret", f"{child}-credentials")
                self._kept_in_new_secret(held)
            case "delete migrator":
                objects.delete("Secret", f"{child}-migrator")
            case "delete ingress":
                objects.delete("Ingress", child)
            case "edit ingress":
                objects.patch("Ingress", child, {"spec": {"ingressClassName": "somebody-elses"}})
            case "edit migrator":
                objects.patch("Secret", f"{child}-migrator", {"stringData": {"PGHOST": "somewhere.else.example"}})
            case "disown ingress":
                objects.patch("Ingress", child, {"metadata": {"ownerReferences": None}})
            case "alter role":
                role = f"hoa_connect_tenant_{self._tenant_id()}_app"
                self._sql(f'ALTER ROLE "{role}" CONNECTION LIMIT 777')
        self.becomes(was, f"what was broken by hand ({what}) was not put right")

    def _kept_in_new_secret(self, held: Json) -> None:
        objects, name = self.scene.installation.objects, f"tenant-{self.name}-credentials"
        made = until(lambda: objects.find("Secret", name), f"Secret {name} to be rebuilt", PATIENCE)
        for key in ("app-password", "signing-keys"):
            assert base64.b64decode(made["data"][key]) == base64.b64decode(held[key]), (
                f"{key} was replaced, not rebuilt"
            )

    def _tenant_id(self) -> str:
        body = self.scene.installation.objects.get("HOATenant", self.name)
        return str(body["status"]["tenantID"].replace("-", ""))

    def _sql(self, statement: str) -> None:
        def run() -> None:
            with psycopg.connect(self.scene.installation.server.access.dsn(), autocommit=True) as session:
                session.execute(statement.encode())

        patiently(run)

    def _strike(self, where: str, what: str, nth: int) -> None:
        installation = self.scene.installation
        if where == "request":
            self.strikes.append(installation.api.rules.add(Rule(self._writes_mine, EFFECTS[what], nth=nth)))
        elif where == "statement":
            self.strikes.append(installation.pg.rules.add(Rule(self._states_mine, EFFECTS[what], nth=nth)))
        else:
            self.scene.ledger.job_faults[self.name] += 1
            fault = Fault(f"tenant-{self.name}-migrate", installation.objects.namespace, **JOB_FAULTS[what])
            self.scene.jobs.inject(fault)
            if fault.image_pull_error:
                self.scene.ledger.later(IMAGE_AWAY_SECONDS, lambda: self._image_back(fault))

    def _image_back(self, fault: Fault) -> None:
        if fault in self.scene.jobs.faults:
            self.scene.jobs.faults.remove(fault)

    def _writes_mine(self, request: ApiRequest) -> bool:
        mine = request.name == self.name or request.name.startswith((f"tenant-{self.name}-", f"{self.name}."))
        return request.is_write and (mine or request.name == f"tenant-{self.name}")

    def _states_mine(self, statement: Statement) -> bool:
        text = statement.text
        return statement.by_operator and any(id_ in text or id_ in statement.database for id_ in self.ids)

    def _reborn(self, end: End) -> None:
        was = self.world()
        objects = self.scene.installation.objects
        spec = copy.deepcopy(objects.get("HOATenant", self.name)["spec"])
        before = self._tenant_id()
        self._end(end)
        self._write({**spec, "adoptionPolicy": "IfUnclaimed" if end.data_stays else "Never"})
        self._await()
        self._write(spec)
        self._await()
        assert (self._tenant_id() == before) == end.data_stays, "the wrong data came back"
        self.becomes(was, f"deleted with {end} and applied again, it is not what it was")

    def _end(self, end: End) -> None:
        """Delete the HOATenant, and wait until it is gone; see that its data are, too, if they are not to stay."""
        objects, tenant_id = self.scene.installation.objects, self._tenant_id()
        spec = copy.deepcopy(objects.get("HOATenant", self.name)["spec"])
        database = spec.get("database", {})
        spec["database"] = {**database, "deletionPolicy": end.policy, "undeleteWindow": end.window}
        spec["deletionProtection"] = "Disabled"
        self._write(spec)
        self._await()
        if not end.data_stays:
            self.scene.ledger.may_be_dropped[tenant_id] = time.monotonic()
        objects.delete("HOATenant", self.name)
        self.scene.eyes.wait(self.name, lambda body: body is None, "gone", PATIENCE)
        if not end.data_stays:
            self._see_nothing_left(tenant_id)

    def _see_nothing_left(self, tenant_id: str) -> None:
        empty: Json = {"row": [], "hosts": [], "placement": []}

        def left() -> list[Any]:
            found = patiently(lambda: world_of(self.scene.installation, self.name, tenant_id))
            children = {name for name in found["children"] if not name.startswith("Job ")}
            return [found["registry"], found["roles"], found["database"], children]

        until(lambda: left() == [empty, {}, [], set()], lambda: f"{self.name} left behind: {left()}", PATIENCE, 0.5)

    def _rotated(self) -> None:
        """Twice, so that the world of before comes back: the same login is in force, and the other one is closed."""
        was = self.world()
        spec = copy.deepcopy(self.scene.installation.objects.get("HOATenant", self.name)["spec"])
        held = self._passwords()
        for _ in range(2):
            login = self._await()["status"]["credentials"]["login"]
            now = datetime.now(UTC).isoformat()
            self._write({**spec, "credentials": {**spec.get("credentials", {}), "rotateRequestedAt": now}})
            self.scene.eyes.wait(self.name, partial(rotated, login), "rotated", PATIENCE)
        self._write(spec)
        self._await()
        self.becomes(was, "rotated twice, it is not what it was")
        assert not set(self._passwords().values()) & set(held.values()), "a password of before is in force again"

    def _passwords(self) -> Json:
        held = self.scene.installation.objects.get("Secret", f"tenant-{self.name}-credentials")["data"]
        return {key: held[key] for key in ("app-password", "migrator-password")}


def without_rotations(world: Json) -> Json:
    """Leave out the second login, as long as it lets nobody in, and how many keys are kept for what they once signed."""
    roles = world["roles"]
    closed = {
        name for name, role in roles.items() if name.endswith("_app_b") and not (role["login"] or role["password"])
    }
    logins = {key: value for key, value in world["logins"].items() if key != "signing keys"}
    return {**world, "roles": {name: role for name, role in roles.items() if name not in closed}, "logins": logins}


def rotated(login: str, body: Json | None) -> bool:
    """Whether another login than this is in force, and this one is closed."""
    if body is None or not settled(body):
        return False
    ready = next((c for c in body["status"]["conditions"] if c["type"] == "CredentialsReady"), {"status": "Unknown"})
    return (
        body["status"]["credentials"]["login"] != login and ready["status"] == "True" and ready["reason"] == "InForce"
    )


def patiently(look: Callable[[], T]) -> T:
    """Ask Postgres again while a fault of the test has it away."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return look()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)

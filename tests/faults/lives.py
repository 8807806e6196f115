"""Lives a generated life in an installation, and judges it: what is refused changes nothing, what is reverted brings the
former world back, what was broken by hand is put right, and the end equals a fresh run with the same spec."""

from __future__ import annotations

import base64
import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from tests.cluster.api import ApiError
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
from tests.faults.eyes import settled
from tests.faults.strikes import Strikes
from tests.faults.subject import PATIENCE, Scene, Subject
from tests.waiting import until

Json = dict[str, Any]


@dataclass
class Liver:
    """One life as it is lived: `done` counts the actions that went well, `over` is all of them once it has ended."""

    scene: Scene
    life: Life
    done: int = 0
    over: int = 0
    subject: Subject = field(init=False)
    strikes: Strikes = field(init=False)

    def __post_init__(self) -> None:
        self.subject = Subject(self.scene, self.life.name)
        self.strikes = Strikes(self.subject)

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
                self.subject.write(spec)
                if awaited:
                    self.subject.settle()
            case Refused(spec):
                self._refused(spec)
            case Impossible(spec, back):
                self._impossible(spec, back)
            case Reverted(spec, back, _, awaited):
                self._reverted(spec, back, awaited=awaited)
            case Hand(what, child, label):
                self._by_hand(what, child, label)
            case Struck(where, what, nth):
                self.strikes.strike(where, what, nth)
            case Reborn(end):
                self._reborn(end)
            case Rotated():
                self._rotated()

    def fresh(self) -> None:
        """Delete the tenant with its data, see that nothing is left, make it anew, and compare the two worlds."""
        was = self.subject.calm_world()
        self.subject.end(DROPPED)
        self.subject.write(self.life.final)
        self.subject.settle()
        self.subject.becomes(was, "a fresh run with the same spec differs from the end of the life (found: fresh)")

    # What the actions do

    def _refused(self, spec: Json) -> None:
        objects = self.scene.installation.objects
        before = objects.get("HOATenant", self.name)
        with pytest.raises(ApiError) as refusal:
            self.subject.write(spec)
        assert refusal.value.status in (400, 422), refusal.value
        after = objects.get("HOATenant", self.name)
        for part in ("generation", "uid"):
            assert after["metadata"][part] == before["metadata"][part], "what was refused changed something"
        assert after["spec"] == before["spec"], "what was refused changed something"

    def _impossible(self, spec: Json, back: Json) -> None:
        was = self.subject.calm_world()
        self.subject.write(spec)

        def said(body: Json | None) -> bool:
            conditions = (body or {}).get("status", {}).get("conditions") or ()
            return any(c["type"] == "Stalled" and c["status"] == "True" for c in conditions)

        self.scene.eyes.wait(self.name, said, "refused by the operator", PATIENCE)
        self.subject.write(back)
        self.subject.settle()
        self.subject.becomes(was, "a change that could not be had, and was taken back, left something")

    def _reverted(self, spec: Json, back: Json, *, awaited: bool) -> None:
        was = self.subject.calm_world()
        self.subject.write(spec)
        if awaited:
            self.subject.settle()
        self.subject.write(back)
        self.subject.settle()
        self.subject.becomes(was, "reverting a change did not bring the former world back")

    def _by_hand(self, what: str, stripped: str, label: str) -> None:
        was = self.subject.calm_world()
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
                role = f"hoa_connect_tenant_{self.subject.tenant_id()}_app"
                self.subject.sql(f'ALTER ROLE "{role}" CONNECTION LIMIT 777')
            case "strip a label":
                objects.patch(*labelled(child, stripped), {"metadata": {"labels": {label: None}}})
            case "strip a label and put it back":
                self._put_back(*labelled(child, stripped), label)
        self.subject.becomes(was, f"what was broken by hand ({what}) was not put right")

    def _put_back(self, kind: str, name: str, label: str) -> None:
        """Take a label off and put it back; that another one is missing then shows whether the operator sees the object."""
        objects = self.scene.installation.objects
        held = objects.get(kind, name)["metadata"]["labels"][label]
        for labels in ({label: None}, {label: held}, {"app.kubernetes.io/component": None}):
            objects.patch(kind, name, {"metadata": {"labels": labels}})

    def _kept_in_new_secret(self, held: Json) -> None:
        objects, name = self.scene.installation.objects, f"tenant-{self.name}-credentials"
        made = until(lambda: objects.find("Secret", name), f"Secret {name} to be rebuilt", PATIENCE)
        for key in ("app-password", "signing-keys"):
            assert base64.b64decode(made["data"][key]) == base64.b64decode(held[key]), (
                f"{key} was replaced, not rebuilt"
            )

    def _reborn(self, end: End) -> None:
        was = self.subject.calm_world()
        objects = self.scene.installation.objects
        spec = copy.deepcopy(objects.get("HOATenant", self.name)["spec"])
        before = self.subject.tenant_id()
        self.subject.end(end)
        self.subject.write({**spec, "adoptionPolicy": "IfUnclaimed" if end.data_stays else "Never"})
        self.subject.settle()
        self.subject.write(spec)
        self.subject.settle()
        assert (self.subject.tenant_id() == before) == end.data_stays, "the wrong data came back"
        self.subject.becomes(was, f"deleted with {end} and applied again, it is not what it was")

    def _rotated(self) -> None:
        """Twice, so that the world of before comes back: the same login is in force, and the other one is closed."""
        was = self.subject.calm_world()
        spec = copy.deepcopy(self.scene.installation.objects.get("HOATenant", self.name)["spec"])
        held = self.subject.passwords()
        for _ in range(2):
            login = self.subject.settle()["status"]["credentials"]["login"]
            now = datetime.now(UTC).isoformat()
            self.subject.write({**spec, "credentials": {**spec.get("credentials", {}), "rotateRequestedAt": now}})
            self.scene.eyes.wait(self.name, partial(rotated, login), "rotated", PATIENCE)
        self.subject.write(spec)
        self.subject.settle()
        self.subject.becomes(was, "rotated twice, it is not what it was")
        assert not set(self.subject.passwords().values()) & set(held.values()), "a password of before is in force again"


def labelled(child: str, what: str) -> tuple[str, str]:
    """Return kind and name of what is called so in a life."""
    return ("Ingress", child) if what == "Ingress" else ("Secret", f"{child}-{what}")


def rotated(login: str, body: Json | None) -> bool:
    """Whether another login than this is in force, and this one is closed."""
    if body is None or not settled(body):
        return False
    ready = next((c for c in body["status"]["conditions"] if c["type"] == "CredentialsReady"), {"status": "Unknown"})
    return (
        body["status"]["credentials"]["login"] != login and ready["status"] == "True" and ready["reason"] == "InForce"
    )

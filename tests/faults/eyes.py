"""Watches every HOATenant of an installation: lives wait by it, and no condition without advice escapes it."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.api import ApiError
from tests.faults.words import lacks
from tests.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.faults.objects import Objects

Json = dict[str, Any]
SETTLED_PHASES = ("Ready", "Suspended", "Paused")


def settled(body: Json) -> bool:
    """Whether the operator is done with the tenant's spec as it is now."""
    status = body.get("status") or {}
    current = status.get("observedGeneration") == body["metadata"]["generation"]
    return current and status.get("phase") in SETTLED_PHASES and "retry" not in status


@dataclass
class Eyes(Rounds):
    """Dedicated Deployments it sees get the pods a kubelet would give them."""

    objects: Objects
    complaints: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, Json] = field(default_factory=dict)
    _version: str = ""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, name: str, holds: Callable[[Json | None], bool], what: str, seconds: float = 120.0) -> Json | None:
        """Wait until the tenant (None: there is none) is as wanted; return it."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not holds(self._seen.get(name)):
                if self.error is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{name} did not come to be {what} within {seconds:.0f} s: {self.told(name)}")
                self._news.wait(1.0)
            return self._seen.get(name)

    def told(self, name: str) -> str:
        """Return what a tenant says of itself, shortly."""
        body = self._seen.get(name)
        if body is None:
            return "there is none"
        status = body.get("status") or {}
        ill = [
            f"{c['type']}={c['status']} {c['reason']}: {c['message']}"
            for c in status.get("conditions") or ()
            if c["status"] != ("False" if c["type"] == "Stalled" else "True")
        ]
        generation = f"generation {body['metadata']['generation']}, observed {status.get('observedGeneration')}"
        return f"{status.get('phase')}, {generation}, retry {status.get('retry')}; " + "; ".join(ill)

    def held(self) -> AbstractContextManager[object]:
        """Return the thread's own connection."""
        return contextlib.closing(self.objects.api)

    def go_round(self) -> None:
        """Look on for a second: no state that a tenant is in, however short, goes unseen."""
        self._look_on()
        self._give_pods()

    def _look_on(self) -> None:
        if not self._version:
            found, self._version = self.objects.list_at("HOATenant")
            self._see({body["metadata"]["name"]: body for body in found})
        try:
            for event in self.objects.watch("HOATenant", self._version, 1):
                body = event["object"]
                self._version = body["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    name = body["metadata"]["name"]
                    seen = {key: value for key, value in self._seen.items() if key != name}
                    self._see(seen if event["type"] == "DELETED" else {**seen, name: body}, body)
        except ApiError as error:
            if error.status != 410:
                raise
            self._version = ""

    def _see(self, found: dict[str, Json], *changed: Json) -> None:
        for body in changed or found.values():
            for condition in (body.get("status") or {}).get("conditions") or ():
                if why := lacks(condition):
                    name = body["metadata"]["name"]
                    self.complaints.setdefault(f"{condition['type']} {condition['reason']}", f"{name}: {why}")
        with self._news:
            self._seen = found
            self._news.notify_all()

    def _give_pods(self) -> None:
        for body in self.objects.list("Deployment", "hoaconnect.com/tenant"):
            wanted = body["spec"].get("replicas", 1)
            if (body.get("status") or {}).get("availableReplicas") != wanted:
                words = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
                status = {"status": dict.fromkeys(words, wanted)}
                with contextlib.suppress(ApiError):  # it may have gone meanwhile
                    self.objects.patch("Deployment", body["metadata"]["name"], status, "status")

"""What the operator's tests say again and again: wait for a condition, let the shared app look available, count
writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.cluster.platform import RELEASE, tenant
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.kubectl import Kubectl
    from tests.cluster.platform import Platform

Json = dict[str, Any]


def condition(body: Json, name: str) -> Json:
    """Return a condition of an object, or an empty one."""
    found = [c for c in body.get("status", {}).get("conditions", []) if c["type"] == name]
    return found[0] if found else {"status": "", "reason": "", "message": ""}


def is_ready(body: Json) -> bool:
    """Whether an object says that it is ready, for the generation it has now."""
    known = condition(body, "Ready")
    return bool(known["status"] == "True" and body["status"]["observedGeneration"] == body["metadata"]["generation"])


def app_available(kubectl: Kubectl, replicas: int = 1, name: str = f"{RELEASE}-app") -> None:
    """Say of a Deployment what a kubelet would make true."""
    count = {"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas}
    kubectl.patch_status("deployment", name, {**count, "availableReplicas": replicas})


def bring_up(platform: Platform, name: str = "seabreeze", **spec: Any) -> Json:
    """Apply a tenant and wait until it is Ready."""
    platform.kubectl.apply(tenant(name, **spec))
    return platform.kubectl.wait_for("hoatenant", name, is_ready, 60)


def settled(platform: Platform, quiet: float = 2.0, timeout: float = 40.0) -> int:
    """Wait until the operator has not written for `quiet` seconds; return how many writes there were in all."""
    seen, since = len(platform.operator_writes()), time.monotonic()

    def silent() -> bool:
        nonlocal seen, since
        now = len(platform.operator_writes())
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since >= quiet

    until(silent, lambda: f"the operator to stop writing: {platform.operator_writes()[-10:]}", timeout, 0.2)
    return seen


def eventually(holds: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait until something holds."""
    until(holds, "what the test names to come true", timeout)

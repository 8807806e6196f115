"""The shared app's HPA: its bounds follow from the tiers of all tenants that the shared app serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hoa_operator import quantities
from hoa_operator.apply import apply_object
from hoa_operator.drift import was_applied
from hoa_operator.errors import OperatorError, UserError
from hoa_operator.kinds import DEPLOYMENT, HPA, TENANT, TIER, Object
from hoa_operator.kube import Conflict
from hoa_operator.manifests.autoscalers import autoscaler
from hoa_operator.manifests.meta import Family, Owner, is_current
from hoa_operator.names import APP_CONTAINER
from hoa_operator.reconcile import Outcome
from hoa_operator.tenant import parse_spec
from hoa_operator.tiers import Tier, parse_tier, shared_replicas

if TYPE_CHECKING:
    from collections.abc import Callable

    from hoa_operator.apply import Doors
    from hoa_operator.manifests.meta import Manifest
    from hoa_operator.settings import Settings

TARGET_CPU_PERCENT = 70
_DEFAULT_POD = 250
_RETRY = 15.0


def demand(tenants: list[Object], tiers: dict[str, Tier]) -> int:
    """Return the millicores that the tenants' tiers promise, of those that the shared app serves."""
    total = 0
    for body in tenants:
        tier = tiers.get((body.get("status") or {}).get("tier") or "")
        try:
            spec = parse_spec(body)
        except UserError:
            continue  # it is not served before its spec is accepted
        if tier is not None and spec.placement == "Shared" and spec.state != "Suspended":
            total += tier.limits.overridden(spec.limits).cpu_millicores
    return total


def pod_millicores(deployment: Object) -> int:
    """Return what one pod of the shared app asks for."""
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        asked: dict[str, Any] = (container.get("resources") or {}).get("requests") or {}
        if container["name"] == APP_CONTAINER and "cpu" in asked:
            return quantities.millicores(asked["cpu"])
    return _DEFAULT_POD


def shared_autoscaler(settings: Settings, deployment: Object, millicores: int) -> Manifest:
    """Build the shared app's HPA; it goes away with the Deployment."""
    meta, bounds = deployment["metadata"], settings.capacity
    owner = Owner(DEPLOYMENT, meta["name"], meta["uid"], controller=False)
    replicas = shared_replicas(
        millicores, pod_millicores(deployment), bounds.cpu_overcommit, bounds.minimum, bounds.maximum
    )
    family = Family(settings.namespace, settings.release, settings.app.version, owner, {})
    return autoscaler(family, meta["name"], "app", replicas, TARGET_CPU_PERCENT)


class CapacityReconciler:
    """Keeps the shared HPA. `repaired` hears when somebody else had changed it."""

    def __init__(self, doors: Doors, repaired: Callable[[str], None]) -> None:
        self._doors = doors
        self._repaired = repaired

    async def __call__(self, _: str = "") -> Outcome:
        """Apply the HPA if it differs."""
        cache, settings = self._doors.sources.cache, self._doors.sources.settings
        deployment = cache.get(DEPLOYMENT, settings.app.deployment)
        if deployment is None:
            return Outcome()
        tiers = {body["metadata"]["name"]: parse_tier(body) for body in cache.all(TIER)}
        wanted = shared_autoscaler(settings, deployment, demand(cache.all(TENANT), tiers))
        live = cache.get(HPA, deployment["metadata"]["name"])
        if is_current(live, wanted):
            return Outcome()
        try:
            await apply_object(self._doors, wanted)
        except Conflict:
            raise
        except OperatorError as error:
            return Outcome(wait=_RETRY, failed=error.reason)
        if live is not None and was_applied(live, wanted):
            self._repaired(deployment["metadata"]["name"])
        return Outcome()

"""What a status says of a tenant besides conditions: where it is reached, what holds for it, how much it takes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hoa_operator import budget, desire, filling, hosting, migrating, names, rotating, steps
from hoa_operator.postgres import names as postgres_names
from hoa_operator.tenant import format_time
from hoa_operator.unrecorded import remembered

if TYPE_CHECKING:
    from hoa_operator.steps import Plan
    from hoa_operator.tiers import Pending
    from hoa_operator.world import World

#: What is said of a tenant only while there is one.
WHILE_THERE: Final = ("state", "placement", "hosts", "storage", "autoTier", "pendingTier", budget.AWAITED)
#: What the registry says of a tenant. Where that has lost one that has data, the status alone tells where that is.
_ON_RECORD: Final = ("tenantID", "schemaRevision", "appVersion", "database")


def read(world: World) -> dict[str, Any]:
    """Return what is known; None for what is not."""
    before = world.body.get("status") or {}
    lost = world.row is None and remembered(world.target.identity, world.body) is not None
    return _known(world) | ({key: before.get(key) for key in _ON_RECORD} if lost else {})


def _known(world: World) -> dict[str, Any]:
    target = world.target
    placed = world.record.placement is not None
    figures = {"storage": filling.told(world, world.usage)[0].to_status()} if world.usage else {}
    return figures | {
        "url": world.settings.route.url(target.hosts[0]),
        "tenantID": str(target.tenant_id) if world.row else None,
        "tier": target.tier.name,
        "autoTier": target.auto_tier,
        "pendingTier": _pending_tier(target.pending_tier),
        "homeowners": target.homeowners,
        "schemaRevision": world.revision,
        "appVersion": world.settings.app.version if world.revision else None,
        "credentials": _credentials(world),
        "database": {"server": target.server.name, "name": desire.database_name(world)} if placed else None,
        budget.AWAITED: _awaited(world),
    }


def _awaited(world: World) -> dict[str, str] | None:
    """Return since when hosts wait for a certificate's turn. Who is only looked at has none, and keeps its place."""
    before = (world.body.get("status") or {}).get(budget.AWAITED) or {}
    managed = world.target.spec.policy == "Managed"
    return (budget.awaited(before, world.domains.budget, world.now) if managed else before) or None


def _credentials(world: World) -> dict[str, str] | None:
    """Return since when the credentials are as they are, which role they are for, and when they are rotated next."""
    held = world.credentials
    if held is None:
        return None
    following = rotating.next_rotation(world, held)
    return {
        "login": postgres_names.role_name(world.target.tenant_id, held.login),
        "rotatedAt": format_time(held.rotated_at),
        **({"nextRotation": format_time(following)} if following else {}),
    }


def _pending_tier(pending: Pending | None) -> dict[str, Any] | None:
    return {"name": pending.name, "below": pending.below, "message": pending.describe()} if pending else None


def in_force(world: World) -> dict[str, Any]:
    """Return what people meet: it changes only once it is carried out."""
    own = desire.backend(world) == names.dedicated(world.name)
    return {
        "state": world.row.state if world.row and world.revision else None,
        "placement": "Dedicated" if own else "Shared",
        "hosts": list(hosting.served(world)),
    }


def failed_migration(world: World, plan: Plan) -> dict[str, str] | None:
    """Return what is known to fail again as it is: the Job that showed it does not stay."""
    if plan.stop is None or plan.stop[0] != steps.SCHEMA_CURRENT:
        return None
    _, reason, message = plan.stop
    return {"inputs": migrating.wanted_inputs(world), "reason": reason, "message": message}

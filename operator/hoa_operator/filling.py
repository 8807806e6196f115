"""How much of its storage a tenant fills, as its status and its condition say it: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hoa_operator import quantities, steps, storage
from hoa_operator.storage import Storage

if TYPE_CHECKING:
    from hoa_operator.postgres.model import Usage
    from hoa_operator.storage import Level
    from hoa_operator.world import World


def told(world: World, usage: Usage) -> tuple[Storage, Level]:
    """Return how much room the tenant takes, as its status says it, and what that means."""
    before = world.body.get("status") or {}
    meant = next((c["reason"] for c in before.get("conditions") or () if c["type"] == steps.STORAGE_WITHIN_LIMIT), None)
    measured = Storage(usage.database_bytes, usage.storage_bytes, world.target.limits.storage_bytes)
    known = storage.from_status(before.get("storage"))
    return storage.told(measured, known, meant), storage.level(measured, meant)


def finding(world: World, usage: Usage) -> tuple[Literal["True", "False"], str, str]:
    """Return status, reason and message of StorageWithinLimit."""
    taken, level = told(world, usage)
    figures = taken.describe()
    if level == "WithinLimit":
        return "True", level, figures
    room = (
        f"make room by raising spec.limits.storage ({_limit(world, taken)}) or with a larger tier, or have the company "
        "remove photos"
    )
    if level == "NearLimit":
        return "True", level, f"{figures}; once it is full, uploads that do not fit are refused; {room}"
    left = f"larger than the room left (about {taken.left // storage.MEBIBYTE} MiB)"
    return "False", level, f"{figures}; uploads {left} are refused, everything else goes on; {room}"


def _limit(world: World, taken: Storage) -> str:
    """Return the limit and who set it, for people."""
    now = f"now {quantities.memory(taken.limit)}"
    return now if world.target.spec.limits.storage_bytes is not None else f"{now}, from tier {world.target.tier.name}"

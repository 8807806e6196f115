"""Writes an object's status: one patch, only when something changed, and the Events that belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hoa_operator import events
from hoa_operator.apply import patch_source, tell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hoa_operator.apply import Doors
    from hoa_operator.kinds import Object


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that makes `before` into `after`: what is left out of an object within must be null, too."""
    changed = {key: _changed(before.get(key), value) for key, value in after.items() if before.get(key) != value}
    return changed | {key: None for key in before if key not in after}


def _changed(before: Any, after: Any) -> Any:
    return difference(before, after) if isinstance(before, dict) and isinstance(after, dict) else after


async def publish(doors: Doors, body: Object, status: Mapping[str, Any], now: datetime, reporter: str) -> Object:
    """Write the status if it says anything new; return the object as it is then."""
    before: Mapping[str, Any] = body.get("status") or {}
    patch = difference(before, status)
    if not patch:
        return body
    meta = {"resourceVersion": body["metadata"]["resourceVersion"]}
    after = await patch_source(doors, body, {"metadata": meta, "status": patch}, "status")
    for event in events.transitions(before, status, body.get("spec")):
        await tell(doors, events.manifest(after, event, reporter, now))
    return after

"""Lists on each HOADatabaseServer the databases that are kept of deleted tenants, so that nobody forgets them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hoa_operator.errors import Fenced, OperatorError
from hoa_operator.kinds import SERVER, name_of
from hoa_operator.kube import Conflict
from hoa_operator.postgres import tombstone_name
from hoa_operator.publish import publish
from hoa_operator.reconcile import Outcome
from hoa_operator.tenant import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hoa_operator.apply import Doors
    from hoa_operator.registry_model import Placement, RegistryRow

_RETRY: Final = 15.0
#: Entries in a status, as the CRD allows; the count goes on.
_LISTED: Final = 100


def by_server(tombstones: Iterable[tuple[RegistryRow, Placement | None]]) -> dict[str, list[dict[str, str]]]:
    """Return what the status of each server lists, latest first."""
    found: dict[str, list[dict[str, str]]] = {}
    for row, placement in tombstones:
        if placement is None or placement.deleted_at is None:
            continue
        entry = {
            "name": tombstone_name(row.tenant_id),
            "tenant": row.name,
            "tenantID": str(row.tenant_id),
            "retainedAt": format_time(placement.deleted_at.astimezone(UTC)),
        }
        found.setdefault(placement.server_name, []).append(entry)
    for entries in found.values():
        entries.sort(key=lambda entry: (entry["retainedAt"], entry["name"]), reverse=True)
    return found


def listed(before: Mapping[str, Any], entries: list[dict[str, str]]) -> dict[str, Any]:
    """Return a server's status with these entries; without any it says nothing of them."""
    status = {key: value for key, value in before.items() if key not in ("retained", "retainedDatabases")}
    if entries:
        status |= {"retained": len(entries), "retainedDatabases": entries[:_LISTED]}
    return status


class RetainedReconciler:
    """Keeps the lists."""

    def __init__(self, doors: Doors, reporter: str) -> None:
        self._doors = doors
        self._reporter = reporter

    async def __call__(self, _: str = "") -> Outcome:
        """Write the lists that differ."""
        sources = self._doors.sources
        try:
            kept = by_server(await sources.registry.tombstones())
            for body in sources.cache.all(SERVER):
                status = listed(body.get("status") or {}, kept.get(name_of(body), []))
                await publish(self._doors, body, status, datetime.now(UTC), self._reporter)
        except (Fenced, Conflict):
            raise
        except OperatorError as error:
            return Outcome(wait=_RETRY, failed=error.reason)
        return Outcome()

"""The audit log, the latest first, and whether its chain holds."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hoa_app.db.session import Tx
from hoa_app.features.audit import check
from hoa_app.features.kit.pages import database, page
from hoa_app.features.kit.paging import PAGE, Page, decode_cursor, paged
from hoa_app.features.kit.profile import time_zone
from hoa_app.identity.actor import requires


@requires("audit:read")
async def index(request: Request) -> Response:
    """A page of the log."""
    after = request.query_params.get("after")
    async with database(request).transaction(readonly=True) as tx:
        zone = await time_zone(tx)
        rows = await listed(tx, after)
        shown = [row["sequence"] for row in rows.items]
        broken = await check.broken(tx, shown[-1] - 1, shown[0]) if shown else None
        whole = await check.last_check(tx)
    broken = whole.broken if whole and whole.broken and broken is None else broken
    context = {"rows": rows, "after": after, "broken": broken, "whole": whole, "details": _details}
    return page(request, "audit/list.html", zone, context)


async def listed(tx: Tx, after: str | None) -> Page[dict[str, Any]]:
    """Rows of the log, the latest first."""
    key = decode_cursor(after, "number")
    cursor = await tx.execute(
        "SELECT sequence, at, actor_label, action, subject_type, subject_id, detail FROM audit_log"
        " WHERE (%(after)s::bigint IS NULL OR sequence < %(after)s) ORDER BY sequence DESC LIMIT %(limit)s",
        {"after": int(key[0]) if key else None, "limit": PAGE + 1},
    )
    return paged(await cursor.fetchall(), PAGE, lambda row: (row["sequence"],))


def _details(detail: dict[str, Any]) -> str:
    return ", ".join(
        f"{key}: {value if isinstance(value, str | int) else json.dumps(value)}" for key, value in detail.items()
    )


ROUTES: tuple[BaseRoute, ...] = (Route("/audit", index, methods=["GET"]),)

"""Files that no photo knows: a crash between storing a file and committing its row leaves one, a row that went another.

Once a day the worker looks through a tenant's folder and removes them: none younger than a day, since its row may still
be on the way, and not too many at once, so that a mistake elsewhere stays a small one.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hoa_app.db.session import Tx
from hoa_app.features.requests import store
from hoa_app.jobs.context import JobContext
from hoa_app.jobs.outbox import enqueue
from hoa_app.logs import get_logger

KIND = "requests.sweep"
FOLDER = "requests"
GRACE = timedelta(days=1)
MOST_LISTED = 50_000
MOST_REMOVED = 200
log = get_logger()


async def sweep(context: JobContext, tx: Tx, payload: Mapping[str, Any]) -> None:
    """Look through so many files; in a bucket, another row goes on from there."""
    tenant, storage = context.tenant, context.services.storage
    if tenant.state == "ReadOnly":
        return
    before = datetime.now(UTC) - GRACE
    listed = removed = 0
    async for page in storage.listed(tenant, FOLDER, payload.get("after", "")):
        listed += len(page)
        old = [file.key for file in page if file.written_at < before]
        known = await store.known_keys(tx, old)
        for key in [key for key in old if key not in known][: MOST_REMOVED - removed]:
            await storage.delete(tenant, key)
            removed += 1
        if removed == MOST_REMOVED:
            break
        if listed >= MOST_LISTED and not storage.local:
            await enqueue(tx, KIND, {"after": page[-1].key})
            break
    if removed:
        log.warning("files without a photo removed", tenant=tenant.id_text, removed=removed, listed=listed)

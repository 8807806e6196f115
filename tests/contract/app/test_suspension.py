"""A tenant suspended while the worker runs: its jobs stop, none is lost, and all go on afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

from hoa_app.feature import Feature
from tests.contract.app.workers import eventually, mailbox, place, settings, slug, working

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hoa_app.db.session import Tx
    from hoa_app.jobs.context import JobContext
    from tests.contract.app.platform import MadeTenant, Platform
    from tests.contract.app.workers import Mailbox

__all__ = ["mailbox", "place"]


def queue(tenant: MadeTenant, address: str) -> None:
    """Leave a mail in the outbox, as the app's own transaction would; the superuser may do so while the app may not."""
    with psycopg.connect(tenant.platform.access.dsn(tenant.prefix), autocommit=True) as connection:
        payload = {"to": address, "to_name": "Hana", "subject": "News", "text": "Read me."}
        connection.execute(
            "INSERT INTO outbox (id, tenant_id, kind, payload) VALUES (%s, %s, 'probe.note', %s)",
            (uuid4(), tenant.id, Jsonb(payload)),
        )


def states(tenant: MadeTenant) -> list[str]:
    """What became of the mails, the oldest first."""
    with psycopg.connect(tenant.platform.access.dsn(tenant.prefix), autocommit=True) as connection:
        rows = connection.execute("SELECT state FROM outbox WHERE kind = 'probe.note' ORDER BY created_at").fetchall()
    return [row[0] for row in rows]


async def test_jobs_stop_while_a_tenant_is_suspended_and_none_is_lost(place: Platform, mailbox: Mailbox) -> None:
    done: list[str] = []

    async def probe(_context: JobContext, _tx: Tx, payload: Mapping[str, Any]) -> None:
        done.append(payload["to"])

    feature = Feature(name="probe", jobs={"probe.note": probe})
    tenant, other = place.make_tenant(slug()), place.make_tenant(slug())
    async with working(settings(place, mailbox, HOA_WORKER_SWEEP_SECONDS="1"), feature) as opened:
        queue(tenant, "first")
        await eventually(lambda: states(tenant) == ["done"])
        tenant.set_state("Suspended")
        await eventually(lambda: opened.services.registry.get(tenant.id).state == "Suspended")
        queue(tenant, "second")
        queue(other, "elsewhere")
        opened.worker.wake(tenant.id)
        await eventually(lambda: states(other) == ["done"])
        assert states(tenant) == ["done", "queued"]
        assert "second" not in done
        tenant.set_state("Active")
        await eventually(lambda: states(tenant) == ["done", "done"])
    assert sorted(done) == ["elsewhere", "first", "second"], "each once"

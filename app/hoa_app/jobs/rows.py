"""Doing one outbox row: claimed, handled and settled in one transaction that holds its lock throughout."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hoa_app.db.session import TenantDatabase
from hoa_app.jobs.context import JobContext
from hoa_app.jobs.outcome import JobError, Policy, Postponed, Verdict, judge
from hoa_app.logs import get_logger

if TYPE_CHECKING:
    from hoa_app.db.session import Tx
    from hoa_app.feature import JobHandler
    from hoa_app.services import Services
    from hoa_app.tenancy.tenant import Tenant

log = get_logger()

PEEK = (
    "SELECT count(*) AS waiting, extract(epoch FROM min(next_attempt_at) - now())::float8 AS due_in"
    " FROM outbox WHERE state = 'queued'"
)
# Whoever waits at the door goes first: news, however much of it there is, holds up no reset and no invitation.
CLAIM = (
    "SELECT id, kind, payload, attempts, extract(epoch FROM now() - created_at)::float8 AS age FROM outbox"
    " WHERE state = 'queued' AND next_attempt_at <= now()"
    " ORDER BY kind = 'mail.password_reset' DESC, kind = 'mail.invitation' DESC, next_attempt_at"
    " LIMIT 1 FOR UPDATE SKIP LOCKED"
)
DONE = (
    "UPDATE outbox SET state = 'done', attempts = attempts + 1, finished_at = clock_timestamp(), last_error = NULL"
    " WHERE id = %s"
)
FAILED = (
    "UPDATE outbox SET state = %(state)s, attempts = attempts + %(counted)s, last_error = %(message)s,"
    " next_attempt_at = clock_timestamp() + make_interval(secs => %(delay)s),"
    " finished_at = CASE WHEN %(state)s = 'dead' THEN clock_timestamp() END"
    " WHERE id = %(id)s AND state = 'queued' AND attempts = %(attempts)s"
)
TIDY = (
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state = 'done' AND dedupe_key IS NULL"
    " AND finished_at < now() - interval '30 days' LIMIT 1000)"
)
# Several workers come by, several times a day: the key lets one row in.
DAILY = (
    "INSERT INTO outbox (kind, payload, dedupe_key) SELECT kind, '{}', kind || ' ' || current_date"
    " FROM unnest(%s::text[]) kind ON CONFLICT (tenant_id, dedupe_key) DO NOTHING"
)
# What nobody asks about any more: failures count for minutes, links for hours, sessions for as long as an address is
# remembered as one that was signed in from. In state ReadOnly it waits.
FORGET = tuple(
    f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {over} LIMIT 5000)"  # noqa: S608 - constants
    for table, over in (
        ("sign_in_failures", "at < now() - interval '1 day'"),
        ("password_resets", "expires_at < now() - interval '30 days'"),
        ("sessions", "greatest(last_seen_at, least(expires_at, revoked_at)) < now() - interval '90 days'"),
    )
)
TIDY_DAILY = "DELETE FROM outbox WHERE kind = ANY(%s) AND state = 'done' AND finished_at < now() - interval '7 days'"
DEAD = "SELECT count(*) AS dead FROM outbox WHERE state = 'dead'"
COUNT = (
    "INSERT INTO usage_counters (name, value) VALUES ('emails_sent', %s)"
    " ON CONFLICT (tenant_id, name) DO UPDATE SET value = usage_counters.value + excluded.value"
)


@dataclass(frozen=True)
class Rows:
    """Everything doing a row takes."""

    services: Services
    handlers: Mapping[str, JobHandler]
    policy: Policy = field(default_factory=Policy)

    async def peek(self, tenant: Tenant) -> float | None:
        """Seconds until the tenant's next row is due (0 or less: now), None when nothing waits. One round trip."""
        async with TenantDatabase(self.services.pools, tenant).transaction(readonly=True) as tx:
            row = await (await tx.execute(PEEK)).fetchone()
        due_in = None if row is None or row["due_in"] is None else float(row["due_in"])
        metrics = self.services.metrics
        metrics.outbox_queued.labels(tenant.id_text).set(row["waiting"] if row else 0)
        metrics.outbox_lag.labels(tenant.id_text).set(max(0.0, -(due_in or 0.0)))
        return due_in

    async def tidy(self, tenant: Tenant) -> bool:
        """Queue what is done daily, forget what was done long ago, keeping what guards against doing it again, and
        count what was given up. True when something was queued.
        """
        daily = [kind for feature in self.services.features for kind in feature.daily]
        queued = 0
        async with TenantDatabase(self.services.pools, tenant).transaction(bookkeeping=True) as tx:
            if daily:
                await tx.execute(TIDY_DAILY, (daily,))
                queued = (await tx.execute(DAILY, (daily,))).rowcount
            await tx.execute(TIDY)
            if tenant.state == "Active":
                for statement in FORGET:
                    await tx.execute(statement)
            row = await (await tx.execute(DEAD)).fetchone()
        self.services.metrics.outbox_dead.labels(tenant.id_text).set(row["dead"] if row else 0)
        return queued > 0

    async def do_one(self, tenant: Tenant) -> bool:
        """Do the row that is due longest. False when there is none, or another worker has it."""
        row: dict[str, Any] | None = None
        try:
            async with TenantDatabase(self.services.pools, tenant).transaction(bookkeeping=True) as tx:
                row = await (await tx.execute(CLAIM)).fetchone()
                if row is None:
                    return False
                await self._do(tenant, tx, row)
        except Exception as error:
            if row is not None:
                await self._settle_anew(tenant, row, error)
            raise
        return True

    async def _do(self, tenant: Tenant, tx: Tx, row: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self.policy.job_seconds), tx.transaction():
                await self._handle(tenant, tx, row)
        except Exception as error:
            await tx.execute(FAILED, _values(row, self._judge(tenant, row, error)))
        else:
            await tx.execute(DONE, (row["id"],))
            self.services.metrics.outbox_done.labels(tenant.id_text, row["kind"], "done").inc()
            log.info("job done", tenant=tenant.id_text, row=str(row["id"]), kind=row["kind"])

    async def _handle(self, tenant: Tenant, tx: Tx, row: dict[str, Any]) -> None:
        handler = self.handlers.get(row["kind"])
        if handler is None:
            # During an upgrade the app may know kinds that this worker does not know yet.
            raise Postponed(f"This version of the worker does not know jobs of kind {row['kind']!r}.", 60.0)
        mailer = self.services.mailer.tallied()
        services = replace(self.services, mailer=mailer)
        context = JobContext(services, tenant, row["id"], row["kind"], row["attempts"] + 1)
        await handler(context, tx, row["payload"])
        if mailer.tally.sent:
            await tx.execute(COUNT, (mailer.tally.sent,))

    async def _settle_anew(self, tenant: Tenant, row: dict[str, Any], error: Exception) -> None:
        """The transaction itself broke: count it in another one, or a row that breaks connections would never end."""
        verdict = self._judge(tenant, row, error)
        async with TenantDatabase(self.services.pools, tenant).transaction(bookkeeping=True) as tx:
            await tx.execute(FAILED, _values(row, verdict))

    def _judge(self, tenant: Tenant, row: dict[str, Any], error: Exception) -> Verdict:
        verdict = judge(error, row["attempts"], row["age"], self.policy)
        result = "dead" if verdict.state == "dead" else "retried" if verdict.counted else "postponed"
        self.services.metrics.outbox_done.labels(tenant.id_text, row["kind"], result).inc()
        log.warning(
            f"job {result}",
            tenant=tenant.id_text,
            row=str(row["id"]),
            kind=row["kind"],
            attempt=row["attempts"] + verdict.counted,
            error=verdict.message,
            exc_info=None if isinstance(error, JobError) else error,
        )
        return verdict


def _values(row: dict[str, Any], verdict: Verdict) -> dict[str, Any]:
    return {
        "id": row["id"],
        "attempts": row["attempts"],
        "state": verdict.state,
        "counted": verdict.counted,
        "message": verdict.message,
        "delay": verdict.delay,
    }

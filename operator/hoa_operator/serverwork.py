"""The reconcile of a HOADatabaseServer: ask it what it is, and keep a template of the current schema on it for
tenants to be cloned from."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from hoa_operator import migration, names
from hoa_operator.apply import apply_object, delete_object
from hoa_operator.conditions import Finding
from hoa_operator.errors import OperatorError, UserError, WorldError
from hoa_operator.kinds import JOB, POD, SECRET, SERVER, is_owned_by, kind_of, name_of
from hoa_operator.kube import Conflict
from hoa_operator.manifests import jobs
from hoa_operator.manifests.meta import Family, Owner, digest
from hoa_operator.manifests.secrets import Connection, connection_secret, read_password
from hoa_operator.observe import placed_on
from hoa_operator.postgres import TEMPLATE_MIGRATOR, TEMPLATE_OWNER, template_name
from hoa_operator.publish import publish
from hoa_operator.reconcile import Outcome
from hoa_operator.servers import isolated, parse_server
from hoa_operator.steps import READY, DeleteObject
from hoa_operator.tenant import format_time
from hoa_operator.workqueue import backoff

if TYPE_CHECKING:
    from random import Random

    from hoa_operator.apply import Doors
    from hoa_operator.kinds import Object
    from hoa_operator.manifests.meta import Manifest
    from hoa_operator.migration import JobState
    from hoa_operator.postgres import PostgresServer, ServerFacts
    from hoa_operator.servers import DatabaseServer

log = structlog.get_logger()

TEMPLATE_READY: Final = "TemplateReady"
ISOLATED: Final = "Isolated"
Findings = dict[str, Finding]


@dataclass(frozen=True)
class _Case:
    """One server at one moment."""

    server: DatabaseServer
    family: Family
    door: PostgresServer


class ServerReconciler:
    """Reconciles HOADatabaseServers by name."""

    def __init__(self, doors: Doors, reporter: str, random: Random) -> None:
        self._doors = doors
        self._sources = doors.sources
        self._settings = doors.sources.settings
        self._reporter = reporter
        self._random = random
        self._failures: dict[str, int] = {}

    async def __call__(self, name: str) -> Outcome:
        """Reconcile one server."""
        body = self._sources.cache.get(SERVER, name)
        if body is None or "deletionTimestamp" in body["metadata"]:
            await self._sources.fleet.forget(name)
            self._failures.pop(name, None)
            return Outcome()
        found: dict[str, Any] = {}
        findings: Findings = {}
        error = await self._look(body, found, findings)
        if isinstance(error, Conflict):
            return Outcome(wait=0.3)
        try:
            await self._publish(body, found, findings)
        except Conflict:
            return Outcome(wait=0.3)
        if error is None:
            self._failures.pop(name, None)
            return Outcome()
        log.warning("server not ready", server=name, reason=error.reason, message=error.message)
        self._failures[name] = self._failures.get(name, 0) + 1
        wait = None if isinstance(error, UserError) else backoff(self._failures[name], 60.0, self._random)
        return Outcome(wait=wait, failed=error.reason)

    async def _look(self, body: Object, found: dict[str, Any], findings: Findings) -> OperatorError | None:
        server = parse_server(body)
        try:
            async with self._sources.fleet.door(server, afresh=True) as door:
                facts = await door.probe()
                _check(server, facts)
                still_open = await door.lock_front_doors() if facts.open_databases else ()
                findings[ISOLATED] = Finding(*isolated(still_open, facts.admin))
                found |= {"systemIdentifier": facts.system_identifier, "version": facts.version}
                findings[READY] = Finding(
                    "True", "Answering", f"Postgres {facts.version} at {server.host}:{server.port}"
                )
                await self._template(_Case(server, self._family(server), door), found, findings)
        except OperatorError as error:
            name = TEMPLATE_READY if READY in findings else READY
            findings[name] = Finding("False", error.reason, error.message)
            return error
        return None

    def _family(self, server: DatabaseServer) -> Family:
        settings = self._settings
        return Family(
            namespace=settings.namespace,
            release=settings.release,
            version=settings.app.version,
            owner=Owner(SERVER, server.name, server.uid),
            labels={names.LABEL_SERVER: names.bounded(server.name)},
        )

    # The template

    async def _template(self, case: _Case, found: dict[str, Any], findings: Findings) -> None:
        revision = self._settings.app.schema_revision
        if await case.door.template_ready(revision):
            found["templateRevision"] = revision
            findings[TEMPLATE_READY] = Finding("True", "Sealed", f"at revision {revision}")
            # Not only right after sealing: an operator killed in between would leave the old one for good.
            await case.door.drop_old_templates({revision})
            await self._clean_up(case)
            return
        await self._end_outdated(case)
        findings[TEMPLATE_READY] = Finding("False", "Migrating", f"the template of revision {revision} is being made")
        known = self._jobs(case)
        last = known[-1] if known else None
        if last is not None and last.phase == "Complete":
            await case.door.seal_template(revision)
            await self._template(case, found, findings)
        elif last is None or last.phase == "Failed":
            await self._start(case, last)
        elif (trouble := last.trouble or migration.retried(known)) is not None:
            findings[TEMPLATE_READY] = Finding("False", *trouble)

    def _jobs(self, case: _Case) -> list[JobState]:
        cache = self._sources.cache
        own = [job for job in cache.each(JOB) if is_owned_by(job, case.server.uid)]
        return migration.read_jobs(migration.for_revision(own, self._settings.app.schema_revision), cache.all(POD))

    async def _end_outdated(self, case: _Case) -> None:
        """End Jobs of another version of the app: they share the template's login and would undo each other's work."""
        wanted = jobs.inputs(self._migration(case.server.name), self._image())
        cache = self._sources.cache
        own = [job for job in cache.each(JOB) if is_owned_by(job, case.server.uid)]
        for job in migration.read_jobs(own, cache.all(POD)):
            if job.phase == "Running" and job.inputs != wanted:
                await delete_object(self._doors, DeleteObject(JOB, job.name, job.uid, TEMPLATE_READY))

    async def _start(self, case: _Case, last: JobState | None) -> None:
        """Make the empty template and start the Job; after one that failed, only when its pause is over."""
        attempt = 1
        if last is not None:
            self._judge(case, last)
            attempt = last.attempt + 1
        password = self._password(case) or secrets.token_urlsafe(32)
        revision = self._settings.app.schema_revision
        await case.door.ensure_template(revision, password)
        await self._apply(self._secret(case, password))
        await self._apply(self._job(case, attempt))

    def _judge(self, case: _Case, last: JobState) -> None:
        if last.inputs != jobs.inputs(self._migration(case.server.name), self._image()):
            return
        reason, message = last.trouble or ("MigrationFailed", f"the Job failed; {migration.LOGS}")
        waited = (datetime.now(UTC) - last.finished_at).total_seconds() if last.finished_at else 0.0
        if not last.final and waited < last.retry_delay():
            raise WorldError(reason, f"Job {last.name}: {message}", retry_after=last.retry_delay() - waited)
        if last.final:
            raise UserError(reason, f"Job {last.name}: {message}; tenants are made from an empty database meanwhile")

    async def _clean_up(self, case: _Case) -> None:
        for kind in (JOB, SECRET):
            for item in self._sources.cache.each(kind):
                if is_owned_by(item, case.server.uid) and "deletionTimestamp" not in item["metadata"]:
                    await delete_object(
                        self._doors, DeleteObject(kind, name_of(item), item["metadata"]["uid"], TEMPLATE_READY)
                    )

    async def _apply(self, manifest: Manifest) -> None:
        log.info("step", kind=kind_of(manifest).kind, name=name_of(manifest))
        await apply_object(self._doors, manifest)

    def _password(self, case: _Case) -> str | None:
        live = self._sources.cache.get(SECRET, names.template_secret(case.server.name))
        return read_password(live.get("data") or {}) if live else None

    def _secret(self, case: _Case, password: str) -> Manifest:
        server = case.server
        dbname = template_name(self._settings.app.schema_revision)
        connection = Connection(server.host, server.port, dbname, TEMPLATE_MIGRATOR, server.sslmode, password)
        return connection_secret(case.family, names.template_secret(server.name), connection)

    def _job(self, case: _Case, attempt: int) -> Manifest:
        name = names.template_job(case.server.name, self._settings.app.schema_revision, attempt)
        wanted = self._migration(case.server.name)
        return jobs.migration_job(case.family, name, wanted, self._image(), attempt)

    def _migration(self, server: str) -> jobs.Migration:
        revision = self._settings.app.schema_revision
        return jobs.Migration(
            revision=revision,
            purpose=digest(["template", revision]),
            arguments=("--template",),
            environment={"HOA_OWNER_ROLE": TEMPLATE_OWNER, "HOA_TARGET_REVISION": revision},
            secret=names.template_secret(server),
        )

    def _image(self) -> jobs.JobImage:
        app, timing = self._settings.app, self._settings.timing
        return jobs.JobImage(
            app.image, app.image_pull_policy, app.image_pull_secrets, timing.job_deadline, timing.job_ttl
        )

    # Status

    async def _publish(self, body: Object, found: dict[str, Any], findings: Findings) -> None:
        before = body.get("status") or {}
        now = datetime.now(UTC)
        tenants = sum(1 for tenant in self._sources.tenants() if placed_on(tenant) == name_of(body))
        status = {**before, **found, "tenants": tenants, "observedGeneration": body["metadata"].get("generation", 1)}
        old = {c["type"]: c for c in before.get("conditions") or ()}
        status["conditions"] = [
            _condition(old.get(name), name, findings[name], body, now) if name in findings else old[name]
            for name in (READY, TEMPLATE_READY, ISOLATED)
            if name in findings or name in old
        ]
        await publish(self._doors, body, status, now, self._reporter)


def _condition(old: Any, name: str, finding: Finding, body: Object, now: datetime) -> dict[str, Any]:
    same = old is not None and old["status"] == finding.status
    return {
        "type": name,
        "status": finding.status,
        "observedGeneration": body["metadata"].get("generation", 1),
        "lastTransitionTime": old["lastTransitionTime"] if same else format_time(now),
        "reason": finding.reason,
        "message": finding.message[:2000],
    }


def _check(server: DatabaseServer, facts: ServerFacts) -> None:
    if facts.missing:
        raise UserError(
            "AdminLacksPrivileges",
            f"login {facts.admin} at {server.host}:{server.port} lacks {' and '.join(facts.missing)}; grant it",
        )

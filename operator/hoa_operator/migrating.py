"""Decides when a tenant's migration runs, runs again, is stopped for a person, or is taken in as done: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hoa_operator import desire, migration, names
from hoa_operator.kinds import JOB, POD
from hoa_operator.manifests.jobs import inputs
from hoa_operator.manifests.secrets import Marks
from hoa_operator.steps import SCHEMA_CURRENT, ApplyObject, DeleteObject, Plan, Register, Step

if TYPE_CHECKING:
    from hoa_operator.migration import JobState
    from hoa_operator.world import World

#: Seconds until another look while a turn for a Job is awaited (whoever is next is called when one ends), and while one
#: is being deleted.
_TURN: Final = 60.0
_GONE: Final = 1.0


def jobs(world: World) -> list[JobState]:
    """Return the tenant's own Jobs for the wanted revision, oldest attempt first."""
    own = migration.for_revision(world.children.owned(JOB, world.uid), world.settings.app.schema_revision)
    return migration.read_jobs(own, world.children.by_kind.get(POD, ()))


def outdated(world: World) -> list[JobState]:
    """Return the tenant's Jobs for another revision, of a newer app or an older one, that have not ended."""
    wanted = {job.uid for job in jobs(world)}
    own = migration.read_jobs(world.children.owned(JOB, world.uid), world.children.by_kind.get(POD, ()))
    return [job for job in own if job.uid not in wanted and job.phase in ("Running", "Deleting")]


def is_needed(world: World) -> bool:
    """Tell whether a migration has to run, or its result to be taken in."""
    if is_newer(world):
        return False
    marks = desire.marks(world)
    wanted = (world.settings.app.schema_revision, desire.purpose(world), None)
    return (world.revision, marks.migrated, marks.begun) != wanted


def is_newer(world: World) -> bool:
    """Tell whether the database is ahead of the app that is deployed, so that migrating would be a step back."""
    return world.revision is not None and world.revision > world.settings.app.schema_revision


def is_for_another_admin(world: World) -> bool:
    """Tell whether the last success is known to have been for another admin, or for other roles."""
    known = desire.marks(world).migrated
    return known is not None and known not in (desire.purpose(world), desire.purpose(world, world.revision))


def is_done(world: World) -> bool:
    """Tell whether a Job succeeded whose result was not taken in yet."""
    return is_needed(world) and any(_answers(world, job) for job in jobs(world)[-1:])


def decide(world: World) -> Plan:
    """Return what to do about the migration now: first of all, no two versions of the app work on one database."""
    for job in outdated(world):
        return _ended(job)
    if not is_needed(world):
        return Plan()
    known = jobs(world)
    if not known:
        return _known_to_fail(world) or _start(world)
    last = known[-1]
    if _answers(world, last):
        return _record(world, last)
    return _unfinished(world, last) if last.phase in ("Running", "Deleting") else _again(world, last)


def wanted_inputs(world: World) -> str:
    """Return the digest of what a migration would be started with now."""
    return inputs(desire.migration(world), desire.job_image(world))


def _known_to_fail(world: World) -> Plan | None:
    """Return the stop of a migration that failed for good and whose Job is cleaned away, unless something changed."""
    failed = (world.body.get("status") or {}).get("failedMigration") or {}
    if failed.get("inputs") != wanted_inputs(world) or world.target.identity.retry_requested:
        return None
    return Plan(stop=(SCHEMA_CURRENT, failed.get("reason", "MigrationFailed"), failed.get("message", "")))


def _answers(world: World, job: JobState) -> bool:
    """Tell whether a Job did what is wanted now, and none was begun after it."""
    latest = job.attempt >= (desire.marks(world).begun or 0)
    return latest and job.phase == "Complete" and job.purpose == desire.purpose(world)


def _is_outdated(world: World, job: JobState) -> bool:
    return job.inputs != wanted_inputs(world)


def _unfinished(world: World, last: JobState) -> Plan:
    return _ended(last) if last.phase == "Deleting" or _is_outdated(world, last) else Plan()


def _ended(job: JobState) -> Plan:
    if job.phase == "Deleting":
        return Plan(wait=_GONE)
    return Plan((DeleteObject(JOB, job.name, job.uid, SCHEMA_CURRENT),))


def _again(world: World, last: JobState) -> Plan:
    if last.phase == "Complete" or _is_outdated(world, last) or world.target.identity.retry_requested:
        return _start(world)
    reason, message = last.trouble or ("MigrationFailed", f"the Job failed; {migration.LOGS}")
    if last.final:
        advice = (
            f"it would fail again as it is; change the spec or the app, or annotate with {names.ANNOTATION_RETRY}=now"
        )
        known = last.result.reason if last.result else reason
        said = f"Job {last.name}: {message}. {advice[0].upper()}{advice[1:]}{_meanwhile(world)}"
        return Plan(stop=(SCHEMA_CURRENT, known, said))
    finished = last.finished_at or world.now
    remaining = last.retry_delay() - (world.now - finished).total_seconds()
    return Plan(wait=remaining) if remaining > 0 else _start(world)


def _meanwhile(world: World) -> str:
    return f". Until then the database stays at revision {world.revision}" if world.revision else ""


def _start(world: World) -> Plan:
    """Note that an attempt is begun, then start it: from now on the database may be as that Job leaves it, also where the
    spec goes back to what it was and the Job is stopped. Where none has succeeded yet, nothing could be taken for done."""
    if not world.turn:
        return Plan(wait=_TURN, queued=True)
    marks = desire.marks(world)
    known = jobs(world)
    attempt = max([marks.begun or 1, *(job.attempt + 1 for job in known)])
    start = ApplyObject(desire.migration_job(world, attempt), SCHEMA_CURRENT)
    succeeded = marks.migrated is not None or any(job.phase == "Complete" for job in known)
    if world.credentials is None or marks.begun == attempt or not succeeded:
        return Plan((start,))
    secret = desire.migrator_secret(world, world.credentials, replace(marks, begun=attempt))
    return Plan((ApplyObject(secret, SCHEMA_CURRENT), start))


def _record(world: World, last: JobState) -> Plan:
    """Take in a success: the registry first, then the mark on the Secret that makes it final."""
    wanted = world.settings.app.schema_revision
    reported = last.result.revision if last.result and last.result.revision else wanted
    steps: list[Step] = []
    if world.row is not None and world.row.schema_revision != reported:
        steps.append(Register(replace(world.row, schema_revision=reported)))
    if world.credentials is not None:
        invitation = last.result.invitation if last.result else None
        marks = Marks(desire.purpose(world), invitation=invitation)
        secret = desire.migrator_secret(world, world.credentials, marks)
        steps.append(ApplyObject(secret, SCHEMA_CURRENT))
    return Plan(tuple(steps))

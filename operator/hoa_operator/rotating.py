"""Reads off a tenant's world whether its credentials are due, what keeps a rotation, and when to look again: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hoa_operator import desire, migrating, migration
from hoa_operator.kinds import JOB, POD
from hoa_operator.postgres.names import APP_B
from hoa_operator.rotation import due_at

if TYPE_CHECKING:
    from datetime import datetime

    from hoa_operator.manifests.secrets import Credentials
    from hoa_operator.world import World

#: Seconds after a moment at which it is surely over, whoever rounds what.
_SLACK = 0.1
#: Seconds until another look at a login that should be closed and is still used.
_STILL_USED = 10.0


def next_rotation(world: World, credentials: Credentials) -> datetime | None:
    """Return when the next rotation is due, if ever."""
    return due_at(world.target.spec.credentials, credentials.rotated_at)


def is_due(world: World, credentials: Credentials) -> bool:
    """Tell whether a rotation is due."""
    moment = next_rotation(world, credentials)
    return moment is not None and moment <= world.now


def hindrance(world: World) -> str | None:
    """Return, for people, what a rotation has to wait for."""
    if world.is_overlapping:
        return "the login before the last rotation is still in use; docs/operations/rotation.md says until when"
    if not _both_let_in(world):
        return (
            "a migration has to let the app's second login in first; look at what SchemaCurrent says of it, "
            "docs/operations/rotation.md"
        )
    unfinished = [job for job in _jobs(world) if job.phase in ("Running", "Deleting")]
    if unfinished:
        return f"Job {unfinished[0].name} still uses the migrator's password; look at what SchemaCurrent says of it"
    return None


def _both_let_in(world: World) -> bool:
    """Tell whether a migration has let both logins act for the tenant, be it for an earlier revision: one that fails now takes
    nothing of that back."""
    if not migrating.is_needed(world) or world.database.role(APP_B).exists:
        return True
    return world.revision is not None and desire.marks(world).migrated == desire.purpose(world, world.revision)


def overlap_ends(world: World) -> datetime | None:
    """Return when the login before the last rotation is closed, if nobody uses it any more, by the registry's clock."""
    return replace(world.app_logins, other_used=False).overlap_ends(world.settings.timing.credentials_overlap)


def _overlap_left(world: World) -> float | None:
    """Return the seconds until then."""
    left = replace(world.app_logins, other_used=False).overlap_left(world.settings.timing.credentials_overlap)
    return left.total_seconds() if left is not None else None


def next_look(world: World, credentials: Credentials) -> float | None:
    """Return the seconds until something is to be done: close the login before, or rotate."""
    left = _overlap_left(world)
    if left is not None and left <= 0 and world.is_overlapping:
        return _STILL_USED
    if left is None:
        moment = next_rotation(world, credentials)
        left = (moment - world.now).total_seconds() if moment is not None else None
    if left is None or (left <= 0 and hindrance(world) is not None):
        return None
    return max(0.0, left) + _SLACK


def _jobs(world: World) -> list[migration.JobState]:
    return migration.read_jobs(world.children.owned(JOB, world.uid), world.children.by_kind.get(POD, ()))

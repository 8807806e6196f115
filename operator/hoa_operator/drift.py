"""Tells a repair from a change: what the operator wanted before already, and finds otherwise, somebody else changed. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from hoa_operator import names
from hoa_operator.cache import LAST_WRITER
from hoa_operator.kinds import (
    DEPLOYMENT,
    HPA,
    INGRESS,
    PDB,
    SECRET,
    SERVICE,
    annotations_of,
    is_owned_by,
    kind_of,
    name_of,
)
from hoa_operator.postgres import names as postgres_names
from hoa_operator.rotation import other
from hoa_operator.steps import STALLED, ApplyObject, EnsureDatabase, MintCredentials, Register, SetPasswords, Tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hoa_operator.kinds import Object
    from hoa_operator.steps import Plan, Step
    from hoa_operator.world import World

_KEPT: Final = frozenset({SECRET, SERVICE, INGRESS, DEPLOYMENT, PDB, HPA})
_SETTLED: Final = frozenset({"Ready", "Suspended"})


def repairs(world: World, steps: Iterable[Step]) -> Iterator[Tell]:
    """Return an Event for each step that puts back what somebody changed behind the operator's back."""
    planned = list(steps)
    if not _was_settled(world):
        return
    changing = any(isinstance(step, Register) and step.secrets is None for step in planned)
    for step in planned:
        what = _repaired(world, step, changing=changing)
        if what is not None:
            yield Tell("Normal", "Repaired", what, once=False)


def is_repair(decided: Plan) -> bool:
    """Tell whether a plan puts back something that somebody changed."""
    return any(isinstance(step, Tell) and not step.once for step in decided.steps)


def untold(decided: Plan) -> Plan:
    """Return a plan without Events on repairs: within one reconcile, what is put back is told once."""
    return replace(decided, steps=tuple(s for s in decided.steps if not (isinstance(s, Tell) and not s.once)))


def _was_settled(world: World) -> bool:
    """Tell whether this very spec was carried out before, by what the status says."""
    status = world.body.get("status") or {}
    seen = status.get("observedGeneration") == world.target.identity.generation
    # A tenant is suspended whatever else of its spec is refused: only that nothing was says that the rest was carried out.
    refused = status.get("phase") == "Suspended" and not _progresses(status)
    settled = status.get("phase") in _SETTLED and not refused
    return seen and settled and status.get("appVersion") == world.settings.app.version


def _progresses(status: Mapping[str, Any]) -> bool:
    return any(c["type"] == STALLED and c["reason"] == "Progressing" for c in status.get("conditions") or ())


def _repaired(world: World, step: Step, *, changing: bool) -> str | None:
    if isinstance(step, ApplyObject):
        return _object(world, step)
    if isinstance(step, MintCredentials):
        return "the credentials Secret was gone or unreadable; it is rebuilt with the same passwords and keys"
    if isinstance(step, EnsureDatabase) and not changing:
        return _database(world, step)
    if isinstance(step, SetPasswords) and world.reading.refused:
        return "a password was changed in Postgres; the Secret's is set again"
    return None


def _database(world: World, step: EnsureDatabase) -> str | None:
    """Say what was not right, but for the app's login that is not in use: a rotation opens and closes it."""
    idle = postgres_names.role_name(world.target.tenant_id, other(world.app_logins.current))
    found = [difference for difference in step.differences if idle not in difference.split()]
    return f"the database was not as it should be: {'; '.join(found)}; it is corrected" if found else None


def _object(world: World, step: ApplyObject) -> str | None:
    kind, name = kind_of(step.manifest), name_of(step.manifest)
    if kind not in _KEPT:
        return None
    live = world.children.get(kind, name)
    if live is None or "deletionTimestamp" in live["metadata"]:
        return f"{kind.kind} {name} was deleted; it is made again" if _stood(world, step.condition) else None
    if kind is SECRET:
        return None  # what it holds is not in its digest, so a change of ours looks the same
    if not is_owned_by(live, world.uid) or not was_applied(live, step.manifest):
        return None
    writer = live["metadata"].get(LAST_WRITER, "")
    by = f" by {writer}" if writer and writer != names.FIELD_MANAGER else ""
    return f"{kind.kind} {name} was changed{by}; it is put back"


def was_applied(live: Object, wanted: Object) -> bool:
    """Tell whether this very manifest was applied before: where the object differs, somebody else changed it."""
    applied = annotations_of(wanted).get(names.ANNOTATION_APPLIED)
    return applied is not None and annotations_of(live).get(names.ANNOTATION_APPLIED) == applied


def _stood(world: World, condition: str) -> bool:
    """Tell whether what belongs to a condition was all there at the last look."""
    known = (world.body.get("status") or {}).get("conditions") or ()
    return any(c["type"] == condition and c["status"] == "True" for c in known)

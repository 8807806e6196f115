"""Kubernetes Events on what a person would want to be told: said once, when it turns, and read by `kubectl
describe`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from hoa_operator import names, steps
from hoa_operator.budget import WAITS
from hoa_operator.kinds import EVENT, Object, name_of
from hoa_operator.manifests.meta import digest
from hoa_operator.tenant import AUTO_TIER, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

#: Onboarding steps worth a line, and its reason.
_MILESTONES: Final = {
    steps.PROVISION_DATABASE: "DatabaseProvisioned",
    steps.RUN_MIGRATIONS: "SchemaMigrated",
    steps.SEND_WELCOME_EMAIL: "WelcomeMailSent",
}
#: What Ready says of a tenant that goes, and what kind of news that is.
_LEAVING: Final[Mapping[str, Literal["Normal", "Warning"]]] = {
    steps.DELETING: "Normal",
    steps.DELETION_PAUSED: "Warning",
}
#: What of a status a person wants to be told when it becomes something else, as key, reason and words.
_CHANGING: Final = (
    ("tier", "TierChanged", ""),
    ("state", "StateChanged", ""),
    ("placement", "PlacementChanged", "capacity "),
    ("url", "AddressChanged", ""),
    ("appVersion", "AppUpgraded", "app "),
    ("schemaRevision", "SchemaUpgraded", "schema "),
)
#: What is told when the use of storage comes to mean something else.
_CROSSINGS: Final[Mapping[str, tuple[Literal["Normal", "Warning"], str]]] = {
    "WithinLimit": ("Normal", "StorageRelieved"),
    "NearLimit": ("Warning", "StorageNearLimit"),
    "Full": ("Warning", "StorageFull"),
}
#: Why a deletion waits although nothing failed, and only a person can end it.
_HOLDERS: Final = frozenset({"ChildrenRemaining", "OtherFinalizers"})
#: Reasons of DomainsReady that time mends.
_COMING: Final = frozenset({"CertificatePending", WAITS})
_SUSPENDED: Final = "Suspended"
_LOST: Final = "no longer ready: "
_MESSAGE_LIMIT: Final = 1000


@dataclass(frozen=True)
class Event:
    """One line for people. With `once` it is the same Event however often and whenever it is posted."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str
    once: bool = False


def transitions(
    before: Mapping[str, Any], after: Mapping[str, Any], spec: Mapping[str, Any] | None = None
) -> tuple[Event, ...]:
    """Return what turned between two statuses of one object; its `spec` says why some of it did."""
    found: dict[tuple[str, str], Event] = {}
    for event in _transitions(before, after, spec or {}):
        found.setdefault(
            (event.reason, event.message.removeprefix(_LOST)), event
        )  # one fact may show in two conditions
    return tuple(found.values())


def _transitions(before: Mapping[str, Any], after: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Event]:
    finished = {entry["step"] for entry in before.get("onboarding") or () if "finishedAt" in entry}
    for entry in after.get("onboarding") or ():
        if "finishedAt" in entry and entry["step"] not in finished and entry["step"] in _MILESTONES:
            yield Event("Normal", _MILESTONES[entry["step"]], entry.get("message", ""))
    was, now = _by_type(before), _by_type(after)
    for name, condition in now.items():
        if name == steps.READY:
            yield from _readiness(was.get(name), condition)
        elif name == steps.DOMAINS_READY and _differs(was.get(name), condition):
            yield from _domains(was.get(name), condition)
        elif name == steps.STORAGE_WITHIN_LIMIT:
            yield from _storage(was.get(name), condition)
        elif name == steps.IN_SYNC and _differs(was.get(name), condition):
            yield from _drifting(was.get(name), condition)
        elif name == steps.DELETION:
            yield from _waiting(was.get(name), condition)
        elif name == steps.STALLED and _differs(was.get(name), condition):
            yield from _stalling(was, now)
    yield from _changes(before, after, spec)
    yield from _rotation(before.get("credentials") or {}, after.get("credentials") or {})


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Event]:
    """Tell what became something else; what is new or unknown did not change."""
    for key, reason, words in _CHANGING:
        old, new = before.get(key), after.get(key)
        if old and new and old != new:
            yield Event("Normal", reason, f"{words}from {old} to {new}{_why(key, after, spec)}")
    if "hosts" in before and "hosts" in after:
        was, now = before["hosts"][1:], after["hosts"][1:]
        for host in (host for host in now if host not in was):
            yield Event("Normal", "DomainAdded", f"{host} leads here")
        for host in (host for host in was if host not in now):
            yield Event("Normal", "DomainRemoved", f"{host} leads here no more")


def _why(key: str, after: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    if key != "tier":
        return ""
    named = spec.get("tier", AUTO_TIER)
    return f": {after.get('homeowners', 0)} homeowners" if named == AUTO_TIER else ": spec.tier names it"


def _rotation(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Event]:
    before, after = was.get("rotatedAt"), now.get("rotatedAt")
    # An earlier time and the same login are no rotation: a clock that was ahead put it down, and it is corrected.
    if before and after and before != after and (after > before or now.get("login") != was.get("login")):
        yield Event(
            "Normal",
            "CredentialsRotated",
            f"passwords and signing key are new; the app logs in as {now.get('login')}, what was signed before stays good",
        )


def _readiness(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    ready, was_ready = new["status"] == "True", old is not None and old["status"] == "True"
    if _SUSPENDED in (new["reason"], old["reason"] if old else ""):
        return  # somebody's wish, told as a change of state
    if new["reason"] in _LEAVING:
        if old is None or old["reason"] != new["reason"]:
            yield Event(_LEAVING[new["reason"]], new["reason"], new["message"])
    elif ready and not was_ready:
        yield Event("Normal", "Ready", f"serving at {new['message']}")
    elif new["status"] == "False" and was_ready:
        yield Event("Warning", new["reason"], f"{_LOST}{new['message']}")


def _domains(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    """Tell what keeps a domain from being served, and that nothing does any more."""
    if new["status"] == "False":
        yield Event("Normal" if new["reason"] in _COMING else "Warning", new["reason"], new["message"])
    elif old is not None:
        yield Event("Normal", "DomainsServed", new["message"])


def _storage(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    """Tell of each crossing; that a new tenant has room is no news."""
    before = old["reason"] if old is not None else "WithinLimit"
    if before != new["reason"]:
        kind, reason = _CROSSINGS[new["reason"]]
        yield Event(kind, reason, new["message"])


def _drifting(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    """Tell that a tenant which is only observed is not as its spec says, and that it is again."""
    if new["status"] == "False":
        yield Event("Warning", new["reason"], new["message"])
    elif old is not None:
        yield Event("Normal", new["reason"], new["message"])


def _waiting(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    """Tell what a deletion waits for where no other condition does."""
    if new["reason"] in _HOLDERS and (old is None or old["reason"] != new["reason"]):
        yield Event("Warning", new["reason"], new["message"])


def _stalling(all_before: Mapping[str, Mapping[str, Any]], all_now: Mapping[str, Mapping[str, Any]]) -> Iterator[Event]:
    new, old = all_now[steps.STALLED], all_before.get(steps.STALLED)
    was_ready, ready = (_is_true(conditions.get(steps.READY)) for conditions in (all_before, all_now))
    if old is not None and new["reason"] == "Progressing":
        if was_ready and ready:  # else that it is Ready says it
            yield Event("Normal", "Recovered", f"what was wrong is over: {old['message']}")
    elif new["status"] == "True":
        yield Event("Warning", new["reason"], new["message"])
    elif new["reason"] == "Retrying" and was_ready == ready:  # else that it is Ready no longer says it
        yield Event("Warning", "Retrying", _worst(all_now) or new["message"])


def _is_true(condition: Mapping[str, Any] | None) -> bool:
    return condition is not None and condition["status"] == "True"


def _by_type(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _differs(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    return old is None or (old["status"], old["reason"]) != (new["status"], new["reason"])


def _worst(conditions: Mapping[str, Mapping[str, Any]]) -> str | None:
    for name in (steps.DATABASE_READY, steps.CREDENTIALS_READY, steps.SCHEMA_CURRENT, steps.ROUTE_READY):
        condition = conditions.get(name)
        if condition is not None and condition["status"] == "False":
            return f"{condition['reason']}: {condition['message']}"
    return None


def manifest(about: Object, event: Event, reporter: str, now: datetime) -> dict[str, Any]:
    """Build the Event; the name follows from its content, so that the same news is told once: of one state of the object
    in one second. What turns twice within a second does so in two states.
    """
    meta = about["metadata"]
    moment = format_time(now)
    occasion = [""] if event.once else [moment, meta["resourceVersion"]]
    mark = digest([meta["uid"], event.reason, event.message, *occasion])
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{name_of(about)}.{mark}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": name_of(about),
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "type": event.kind,
        "reason": event.reason,
        "message": event.message[:_MESSAGE_LIMIT],
        "source": {"component": names.FIELD_MANAGER, "host": reporter},
        "reportingComponent": names.FIELD_MANAGER,
        "reportingInstance": reporter,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }

"""Kubernetes Events on what a person would want to be told: said once, when it turns, and read by `kubectl
describe`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from hoa_operator import names, steps
from hoa_operator.kinds import EVENT, Object, name_of
from hoa_operator.manifests.meta import digest
from hoa_operator.tenant import format_time

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
#: What is told when the use of storage comes to mean something else.
_CROSSINGS: Final[Mapping[str, tuple[Literal["Normal", "Warning"], str]]] = {
    "WithinLimit": ("Normal", "StorageRelieved"),
    "NearLimit": ("Warning", "StorageNearLimit"),
    "Full": ("Warning", "StorageFull"),
}
#: Why a deletion waits although nothing failed, and only a person can end it.
_HOLDERS: Final = frozenset({"ChildrenRemaining", "OtherFinalizers"})
_MESSAGE_LIMIT: Final = 1000


@dataclass(frozen=True)
class Event:
    """One line for people. With `once` it is the same Event however often and whenever it is posted."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str
    once: bool = False


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Event, ...]:
    """Return what turned between two statuses of one object."""
    return tuple(_transitions(before, after))


def _transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Event]:
    finished = {entry["step"] for entry in before.get("onboarding") or () if "finishedAt" in entry}
    for entry in after.get("onboarding") or ():
        if "finishedAt" in entry and entry["step"] not in finished and entry["step"] in _MILESTONES:
            yield Event("Normal", _MILESTONES[entry["step"]], entry.get("message", ""))
    was, now = _by_type(before), _by_type(after)
    for name, condition in now.items():
        if name == steps.READY:
            yield from _readiness(was.get(name), condition)
        elif name == steps.STORAGE_WITHIN_LIMIT:
            yield from _storage(was.get(name), condition)
        elif name == steps.DELETION:
            yield from _waiting(was.get(name), condition)
        elif name == steps.STALLED and _differs(was.get(name), condition):
            yield from _stalling(condition, now)
    if after.get("tier") and before.get("tier") and before["tier"] != after["tier"]:
        yield Event("Normal", "TierChanged", f"from {before['tier']} to {after['tier']}")
    yield from _rotation(before.get("credentials") or {}, after.get("credentials") or {})


def _rotation(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Event]:
    if was.get("rotatedAt") and now.get("rotatedAt", was["rotatedAt"]) != was["rotatedAt"]:
        yield Event(
            "Normal",
            "CredentialsRotated",
            f"passwords and signing key are new; the app logs in as {now.get('login')}, what was signed before stays good",
        )


def _readiness(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    ready, was_ready = new["status"] == "True", old is not None and old["status"] == "True"
    if new["reason"] in _LEAVING:
        if old is None or old["reason"] != new["reason"]:
            yield Event(_LEAVING[new["reason"]], new["reason"], new["message"])
    elif ready and not was_ready:
        yield Event("Normal", "Ready", f"serving at {new['message']}")
    elif new["status"] == "False" and was_ready:
        yield Event("Warning", new["reason"], f"no longer ready: {new['message']}")


def _storage(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    """Tell of each crossing; that a new tenant has room is no news."""
    before = old["reason"] if old is not None else "WithinLimit"
    if before != new["reason"]:
        kind, reason = _CROSSINGS[new["reason"]]
        yield Event(kind, reason, new["message"])


def _waiting(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Iterator[Event]:
    """Tell what a deletion waits for where no other condition does."""
    if new["reason"] in _HOLDERS and (old is None or old["reason"] != new["reason"]):
        yield Event("Warning", new["reason"], new["message"])


def _stalling(new: Mapping[str, Any], all_now: Mapping[str, Mapping[str, Any]]) -> Iterator[Event]:
    if new["status"] == "True":
        yield Event("Warning", new["reason"], new["message"])
    elif new["reason"] == "Retrying":
        yield Event("Warning", "Retrying", _worst(all_now) or new["message"])


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
    """Build the Event; the name follows from its content, so that the same news is told once."""
    meta = about["metadata"]
    moment = format_time(now)
    mark = digest([meta["uid"], event.reason, event.message, "" if event.once else moment])
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

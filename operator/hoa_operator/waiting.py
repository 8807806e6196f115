"""What a deletion waits for, and what a person can do about it: pure, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hoa_operator import names, steps
from hoa_operator.kinds import kind_of, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hoa_operator.kinds import Object
    from hoa_operator.target import Failure
    from hoa_operator.tenant import Identity

OTHER_FINALIZERS: Final = "OtherFinalizers"
#: What keeps the lost row of a tenant that goes from being made anew.
_TAKEN: Final = frozenset({"SlugTaken", "TenantRecordLeft"})
_NO_FINALIZERS: Final = '--type=merge -p \'{"metadata":{"finalizers":null}}\''


def deletion(
    identity: Identity, before: Mapping[str, Any], failure: Failure | None, waits_for: tuple[str, str] | None
) -> tuple[str, str]:
    """Return reason and message of the condition of a deletion that is at work."""
    if failure is not None:
        way_out = _way_out(identity, before, failure)
        return failure.error.reason, f"{failure.error.message.rstrip('.')}; {way_out}"
    if waits_for is not None:
        return waits_for
    return "InProgress", "the tenant is no longer served; what was made for it is being removed"


def _way_out(identity: Identity, before: Mapping[str, Any], failure: Failure) -> str:
    again = "it is tried again, docs/operations/deletion.md says what to do"
    server = (before.get("database") or {}).get("server")
    if not server or (failure.condition != steps.DATABASE_READY and failure.error.reason not in _TAKEN):
        return again
    annotate = f"kubectl -n {identity.namespace} annotate hoat {identity.name} {names.ANNOTATION_ABANDON}={server}"
    return f"{again}; to let the tenant go and leave its database as it is: {annotate}"


def for_policy(identity: Identity, policy: str, *, begun: bool) -> str:
    """Return why a tenant is held back by its own spec, and the command that lets it go; `begun` says that its removal was at
    work before, which nothing takes back."""
    field, held, free = ("managementPolicy", policy, "Managed")
    if policy == "Protected":
        field, held, free = ("deletionProtection", "Enabled", "Disabled")
    patch = f"kubectl -n {identity.namespace} patch hoat {identity.name} --type=merge"
    so = (
        "so no more of it is removed, but it is not served any more: its route is blocked, and of its objects and its database "
        "some may be gone or closed"
        if begun
        else "so nothing of it is removed"
    )
    return (
        f"the tenant is to be deleted, but spec.{field} is {held}, {so}; let it go with: "
        f'{patch} -p \'{{"spec":{{"{field}":"{free}"}}}}\''
    )


def for_others(identity: Identity, holders: Sequence[str]) -> str:
    """Return who holds an object of which nothing else is left."""
    return (
        f"everything of the tenant is removed; the object is held by {', '.join(holders)}, which is another controller's to "
        f"remove. If that controller is gone: kubectl -n {identity.namespace} patch hoat {identity.name} {_NO_FINALIZERS}"
    )


def for_children(namespace: str, lingering: Sequence[Object]) -> tuple[str, str]:
    """Return reason and message of children that are deleted and still there."""
    return "ChildrenRemaining", "; ".join(_for_child(namespace, item) for item in lingering[:3])


def _for_child(namespace: str, item: Object) -> str:
    kind, name, holders = kind_of(item), name_of(item), item["metadata"].get("finalizers") or ()
    if not holders:
        return f"{kind.kind} {name} is being deleted"
    return (
        f"{kind.kind} {name} is deleted, but held by {', '.join(holders)}, which is another controller's to remove: see why it "
        f"does not; if that controller is gone: kubectl -n {namespace} patch {kind.plural} {name} {_NO_FINALIZERS}"
    )


def for_sessions(count: int) -> tuple[str, str]:
    """Return reason and message of sessions that may finish what they do."""
    return "Draining", (
        f"the tenant is no longer served; {count} session{'s' if count > 1 else ''} in its database may finish what they do, for "
        "some seconds, and are ended then"
    )

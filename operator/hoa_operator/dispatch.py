"""Which work a change calls for: pure. A change that touches nobody's plan calls for none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hoa_operator import names
from hoa_operator.kinds import (
    DEPLOYMENT,
    HPA,
    JOB,
    POD,
    SERVER,
    TENANT,
    TIER,
    Object,
    is_owned_by,
    labels_of,
    name_of,
    tenants_of,
)
from hoa_operator.observe import placed_on
from hoa_operator.steps import READY
from hoa_operator.tenant import asked_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoa_operator.cache import Cache, Change
    from hoa_operator.settings import Settings


class Key(NamedTuple):
    """What is to be reconciled."""

    kind: str
    name: str


TENANT_KEY: Final = "tenant"
SERVER_KEY: Final = "server"
CAPACITY: Final = Key("capacity", "")
RETAINED: Final = Key("retained", "")
#: Seconds within which changes to counts and sums are gathered into one write.
_GATHER: Final = 3.0


class Call(NamedTuple):
    """A key, whether it waits for its turn with routine work, and after how many seconds it is called."""

    key: Key
    urgent: bool = True
    delay: float = 0.0


def tenant(name: str, *, urgent: bool = True) -> Call:
    """Call for a tenant."""
    return Call(Key(TENANT_KEY, name), urgent)


def server(name: str, delay: float = 0.0) -> Call:
    """Call for a server."""
    return Call(Key(SERVER_KEY, name), delay=delay)


def calls(change: Change, cache: Cache, settings: Settings) -> Iterator[Call]:
    """Return the work that `change` calls for."""
    if change.kind is TENANT:
        yield from _tenant(change, cache, settings.route.base_domain)
    elif change.kind is TIER:
        yield Call(CAPACITY, delay=_GATHER)
        yield from (tenant(name_of(body), urgent=False) for body in cache.all(TENANT))
    elif change.kind is SERVER:
        yield from _server(change, cache)
    else:
        yield from _child(change, cache, settings)


def _tenant(change: Change, cache: Cache, base_domain: str) -> Iterator[Call]:
    before, after = change.before, change.after
    yield tenant(change.name)
    left = before is not None and after is not None and placed_on(before) not in (None, placed_on(after))
    if after is None or before is None or left or _claims(before) != _claims(after):
        # What this tenant gave up may be what another was refused.
        yield from (tenant(name, urgent=False) for name in cache.refused_tenants() if name != change.name)
    if before is not None and after is not None:
        changed = asked_hosts(before, base_domain) ^ asked_hosts(after, base_domain)
        yield from (tenant(name) for name in _concerned(changed, cache, base_domain) if name != change.name)
    if after is None or before is None or placed_on(before) != placed_on(after):
        yield Call(RETAINED, delay=_GATHER)
    if _weight(before) != _weight(after):
        yield Call(CAPACITY, delay=_GATHER)
    placed = {placed_on(body) for body in (before, after) if body is not None}
    if len(placed) > 1 or before is None or after is None:
        yield from (server(name, _GATHER) for name in placed if name)


def _server(change: Change, cache: Cache) -> Iterator[Call]:
    before, after = change.before, change.after
    if before is None or after is None or before["spec"] != after["spec"] or _ready(before) != _ready(after):
        yield from (tenant(name_of(b), urgent=False) for b in cache.all(TENANT) if placed_on(b) in (None, change.name))
    if before is None or after is None or before["metadata"].get("generation") != after["metadata"].get("generation"):
        yield server(change.name)
    if before is None:
        yield Call(RETAINED, delay=_GATHER)


def _child(change: Change, cache: Cache, settings: Settings) -> Iterator[Call]:
    item = change.latest
    owners = tenants_of(item)
    if change.kind is DEPLOYMENT and change.name == settings.app.deployment:
        yield from _shared_app(change, cache)
    elif change.kind is HPA and change.name == settings.app.deployment:
        yield Call(CAPACITY)
    elif owners and (change.kind is not POD or _tells(change)):
        yield from (tenant(_full_name(owner, cache)) for owner in sorted(owners))
    elif change.kind in (JOB, POD) or names.LABEL_SERVER in labels_of(item):
        yield from (server(name_of(b)) for b in cache.all(SERVER) if _belongs(item, b))


def _shared_app(change: Change, cache: Cache) -> Iterator[Call]:
    yield Call(CAPACITY, delay=_GATHER)
    template = _template(change.before) != _template(change.after)
    flipped = _available(change.before) != _available(change.after)
    for body in cache.all(TENANT):
        own = (body.get("spec") or {}).get("placement") == "Dedicated"
        if (own and template) or (not own and flipped):
            yield tenant(name_of(body), urgent=False)


def _claims(body: Object) -> Any:
    return body["spec"].get("slug"), body["spec"].get("domains"), "deletionTimestamp" in body["metadata"]


def _concerned(hosts: frozenset[str], cache: Cache, base_domain: str) -> Iterator[str]:
    """Return who asks for one of the hosts, or holds it. That a claim of theirs was refused may be just being written, so
    that it does not show yet."""
    for body in cache.all(TENANT) if hosts else ():
        held = (body.get("status") or {}).get("hosts") or ()
        if not hosts.isdisjoint({*asked_hosts(body, base_domain), *held}):
            yield name_of(body)


def _weight(body: Object | None) -> Any:
    if body is None:
        return None
    spec, status = body["spec"], body.get("status") or {}
    cpu = (spec.get("limits") or {}).get("cpu")
    return status.get("tier"), spec.get("placement"), spec.get("state"), cpu


def _ready(body: Object) -> str | None:
    return _condition(body, READY)


def _condition(body: Object, name: str) -> str | None:
    for condition in (body.get("status") or {}).get("conditions") or ():
        if condition["type"] == name:
            return str(condition["status"])
    return None


def _tells(change: Change) -> bool:
    """Tell whether a pod's change is worth a look: it came, went, is stuck, or ended."""
    return change.before is None or change.after is None or _pod(change.before) != _pod(change.after)


def _pod(body: Object) -> Any:
    status = body.get("status") or {}
    states = [container.get("state") for container in status.get("containerStatuses") or ()]
    return status.get("phase"), states, status.get("conditions")


def _template(body: Object | None) -> Any:
    return body["spec"]["template"] if body else None


def _available(body: Object | None) -> bool:
    return body is not None and int((body.get("status") or {}).get("availableReplicas") or 0) > 0


def _belongs(item: Object, owner: Object) -> bool:
    mine = names.bounded(name_of(owner))
    return is_owned_by(item, owner["metadata"]["uid"]) or labels_of(item).get(names.LABEL_SERVER) == mine


def _full_name(label: str, cache: Cache) -> str:
    """Return the tenant a label stands for; most names are short enough to be their own label."""
    if cache.get(TENANT, label) is not None:
        return label
    return next((name_of(b) for b in cache.all(TENANT) if names.bounded(name_of(b)) == label), label)


def lane(key: Key, cache: Cache) -> str:
    """Return what a key's work can hang on: its database server, once it has one."""
    if key.kind == SERVER_KEY:
        return f"probe {key.name}"
    if key.kind != TENANT_KEY:
        return key.kind
    body = cache.get(TENANT, key.name)
    if body is None:
        return "unplaced"
    wanted = (body["spec"].get("database") or {}).get("serverName")
    return placed_on(body) or wanted or "unplaced"

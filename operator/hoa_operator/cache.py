"""What the operator knows of the cluster: the last state of every watched object, fed by watches and by its own writes.

Its own writes go in as well, so that the next decision sees them although the watch has not yet; an older version never
replaces a newer one, whatever order they arrive in. What left the view of its watch, because it was deleted or because
somebody took off the labels by which it is watched, comes back by a later version only. Readers must not change what
they get.

What people write is looked at all the time, and kept as it is. A child is looked at with its tenant, and kept packed: as it is it
would take three times the memory, which is most of what the operator needs for a tenant.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from hoa_operator import names
from hoa_operator.kinds import JOB, POD, SOURCES, TENANT, Kind, Object, has_ended, is_refused, tenants_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Under an object's metadata, here and nowhere else: which client changed more than its status last.
LAST_WRITER: Final = "lastWriter"
#: Who comes back from further ago is found by the next audit, a minute later.
_REMEMBERED_DELETIONS: Final = 2_000
#: Later than every version there can be: what is proved to be deleted never comes back.
_FOR_GOOD: Final = 2**64
#: Characters of a text that may well occur again.
_SHORT: Final = 40
#: What runs and ends: of these nobody reads the spec.
_ENDING: Final = frozenset({JOB, POD})


@dataclass(frozen=True)
class Change:
    """What an observation changed: `before` None for a new object, `after` None for a deleted one."""

    kind: Kind
    name: str
    before: Object | None
    after: Object | None

    @property
    def latest(self) -> Object:
        """Return the state there is, else the last one there was."""
        found = self.after if self.after is not None else self.before
        assert found is not None  # noqa: S101 - a change has at least one side
        return found


def version_of(item: Object) -> int:
    """Return the resource version, which grows with every write of any object of a kind."""
    return int(item["metadata"]["resourceVersion"])


class Cache:
    """Objects by kind and name, and an index by tenant."""

    def __init__(self) -> None:
        self._objects: dict[Kind, dict[str, Object | bytes]] = {}
        self._of_tenant: dict[Kind, dict[str, tuple[str, ...]]] = {}
        self._unfinished: dict[str, Object] = {}
        self._refused: set[str] = set()
        self._gone: OrderedDict[str, int] = OrderedDict()

    def observe(self, kind: Kind, item: Object) -> Change | None:
        """Take in an object; return what changed, or None when it is no news."""
        meta = item["metadata"]
        if version_of(item) < self._gone.get(meta["uid"], 0):
            return None
        before = self.get(kind, meta["name"])
        if before is not None and version_of(before) >= version_of(item):
            return None
        after = _lean(kind, item)
        self._put(kind, meta["name"], before, after)
        return Change(kind, meta["name"], before, after)

    def forget(self, kind: Kind, item: Object) -> Change | None:
        """Take in that this very object left the view at this version of it; return what changed, or None when it was known."""
        meta = item["metadata"]
        before = self.get(kind, meta["name"])
        if before is not None and before["metadata"]["uid"] == meta["uid"] and version_of(before) > version_of(item):
            return None
        return self._forget(kind, meta["name"], meta["uid"], version_of(item))

    def forget_uid(self, kind: Kind, name: str, uid: str) -> Change | None:
        """Take in that the object of that name and uid is deleted, which the API server said."""
        return self._forget(kind, name, uid, _FOR_GOOD)

    def _forget(self, kind: Kind, name: str, uid: str, version: int) -> Change | None:
        self._gone[uid] = max(version, self._gone.get(uid, 0))
        if len(self._gone) > _REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)
        before = self.get(kind, name)
        if before is None or before["metadata"]["uid"] != uid:
            return None
        self._put(kind, name, before, None)
        return Change(kind, name, before, None)

    def get(self, kind: Kind, name: str) -> Object | None:
        """Return the object, or None."""
        found = self._objects.get(kind, {}).get(name)
        return None if found is None else _unpacked(found)

    def all(self, kind: Kind) -> list[Object]:
        """Return every object of the kind."""
        return list(self.each(kind))

    def each(self, kind: Kind) -> Iterator[Object]:
        """Return the same, one by one: thousands that were packed are not there at once."""
        return map(_unpacked, list(self._objects.get(kind, {}).values()))

    def of_tenant(self, kind: Kind, tenant: str) -> list[Object]:
        """Return the objects that are the tenant's by their label or by their owner, by name."""
        found = self._objects.get(kind, {})
        return [_unpacked(found[name]) for name in self._of_tenant.get(kind, {}).get(names.bounded(tenant), ())]

    def unfinished_jobs(self) -> list[Object]:
        """Return the Jobs that have not ended: few, however many have and are kept for a while."""
        return list(self._unfinished.values())

    def refused_tenants(self) -> list[str]:
        """Return the HOATenants whose spec is not accepted, by name: few, and everyone who comes or goes asks for them."""
        return sorted(self._refused)

    def items(self, kinds: Iterable[Kind]) -> Iterator[tuple[Kind, Object]]:
        """Walk over all objects of the kinds."""
        for kind in kinds:
            for item in self.each(kind):
                yield kind, item

    def _put(self, kind: Kind, name: str, before: Object | None, after: Object | None) -> None:
        kept = after if after is None or kind in SOURCES else msgspec.msgpack.encode(after)
        index = self._of_tenant.setdefault(kind, {})
        for tenant in tenants_of(before) if before else ():
            left = tuple(each for each in index[tenant] if each != name)
            if left:
                index[tenant] = left
            else:
                del index[tenant]
        for tenant in tenants_of(after) if after else ():
            index[tenant] = tuple(sorted((*index.get(tenant, ()), name)))
        if kind is JOB:
            self._unfinished.pop(name, None)
            if after is not None and not has_ended(after):
                self._unfinished[name] = after
        if kind is TENANT:
            self._refused.discard(name)
            if after is not None and is_refused(after):
                self._refused.add(name)
        if kept is None:
            del self._objects[kind][name]
        else:
            self._objects.setdefault(kind, {})[name] = kept


def _unpacked(found: Object | bytes) -> Object:
    return msgspec.msgpack.decode(found) if isinstance(found, bytes) else found


def _lean(kind: Kind, item: Object) -> dict[str, Any]:
    """Drop what nobody reads and what weighs most: of all managers of fields, keep who wrote last; of what ran, keep how it
    ended. What thousands of objects say in the same words is kept once."""
    meta = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    writers = [entry for entry in item["metadata"].get("managedFields") or () if entry.get("subresource") != "status"]
    if writers:
        meta[LAST_WRITER] = max(writers, key=lambda entry: entry.get("time") or "").get("manager", "")
    elif LAST_WRITER in item["metadata"]:
        meta[LAST_WRITER] = item["metadata"][LAST_WRITER]
    kept = {key: value for key, value in item.items() if key != "spec" or kind not in _ENDING}
    lean: dict[str, Any] = {**kept, "metadata": meta}
    return _shared(lean) if kind in SOURCES else lean


def _shared(value: Any) -> Any:
    """Return the same value, with its keys and short texts as one object wherever they occur, as names and times do."""
    if isinstance(value, dict):
        return {sys.intern(key): _shared(found) for key, found in value.items()}
    if isinstance(value, list):
        return [_shared(found) for found in value]
    return sys.intern(value) if type(value) is str and len(value) <= _SHORT else value

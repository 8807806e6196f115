"""kopf's decorators and nothing else: every event goes into the cache, and the cache calls for work.

kopf itself writes nothing: there are no create, update or delete handlers, so no annotations and no finalizer of its
own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from hoa_operator import kube
from hoa_operator.kinds import WATCHED, Kind, Object
from hoa_operator.watch import stream_selector

if TYPE_CHECKING:
    from collections.abc import Mapping


class Listener(Protocol):
    """Takes in what the watches say."""

    def observed(self, kind: Kind, item: Object, *, deleted: bool) -> None:
        """Take in one event."""


class _NothingKept(kopf.DiffBaseStorage):
    """What kopf compares an object with to tell handlers of changes what changed. There are none of these, and it would copy
    every object at every event for them."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return an empty object."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """Know nothing."""

    def store(self, **_: Any) -> None:
        """Keep nothing."""


class NothingRemembered(ResourceMemories):
    """What kopf knows of each object from one event to the next, for handlers that we do not have: a dozen objects of a tenant,
    each as large as what we ourselves keep of it."""

    async def recall(self, raw_body: kopf.RawBody, **options: Any) -> ResourceMemory:
        """Return a new memory, and keep none."""
        return await super().recall(raw_body, **options | {"ephemeral": True})


def build_registry(listener: Listener, environ: Mapping[str, str]) -> kopf.OperatorRegistry:
    """Return the handlers of one operator."""
    registry = kopf.OperatorRegistry()
    for kind in WATCHED:
        _watch(registry, kind, listener)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return kube.login(environ)

    return registry


def _watch(registry: kopf.OperatorRegistry, kind: Kind, listener: Listener) -> None:
    @kopf.on.event(
        group=kind.group, version=kind.version, plural=kind.plural, registry=registry, id=f"watch-{kind.plural}"
    )
    async def event(event: kopf.RawEvent, **_: Any) -> None:
        item: Any = {"apiVersion": kind.api_version, "kind": kind.kind, **event["object"]}
        listener.observed(kind, item, deleted=event["type"] == "DELETED")


def configure(settings: kopf.OperatorSettings, release: str) -> None:
    """Have kopf watch only what is ours, notice a silent stream, and post nothing."""
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NothingKept()
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.watching.server_timeout = 270
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 100
    # Who waits for more news of an object keeps the last, as it was sent: after a start, those of all objects at once.
    settings.queueing.idle_timeout = 0.2
    settings.process.ultimate_exiting_timeout = 30
    for kind in WATCHED:
        labels = stream_selector(kind, release)
        if labels:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = labels

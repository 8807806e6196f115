"""A namespace's objects over one kept connection: what kubectl does, at a fiftieth of its cost."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hoa_operator.kinds import BY_KIND
from tests.cluster.api import MERGE_PATCH, Api, ApiError
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.cluster.controlplane import ControlPlane

Json = dict[str, Any]
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Objects:
    """One namespace as a cluster administrator sees it."""

    api: Api
    namespace: str

    @classmethod
    def of(cls, plane: ControlPlane, namespace: str) -> Objects:
        """Return the objects of a namespace, directly at the API server and past every proxy."""
        return cls(Api(plane.port, plane.authority.certificate, plane.admin_token, "platform-engineer"), namespace)

    def close(self) -> None:
        """Close the calling thread's connection."""
        self.api.close()

    def find(self, kind: str, name: str) -> Json | None:
        """Return one object, or None."""
        return self.api.find(self._path(kind, name))

    def get(self, kind: str, name: str) -> Json:
        """Return one object; raise ApiError 404 when there is none."""
        return self.api.call("GET", self._path(kind, name))

    def list(self, kind: str, selector: str = "") -> list[Json]:
        """Return the objects of a kind that carry these labels."""
        query = f"?labelSelector={urllib.parse.quote(selector)}" if selector else ""
        items: list[Json] = self.api.call("GET", self._path(kind) + query)["items"]
        return items

    def list_at(self, kind: str) -> tuple[Sequence[Json], str]:
        """Return the objects of a kind, and the version from which they can be watched."""
        found = self.api.call("GET", self._path(kind))
        return found["items"], found["metadata"]["resourceVersion"]

    def watch(self, kind: str, version: str, seconds: int) -> Iterator[Json]:
        """Yield what happens to the objects of a kind."""
        return self.api.watch(self._path(kind), version, seconds)

    def apply(self, manifest: Mapping[str, Any]) -> Json:
        """Apply as ``kubectl apply --server-side`` does: what was applied before and is left out now goes away."""
        path = self._path(manifest["kind"], manifest["metadata"]["name"])
        return self.api.call("PATCH", f"{path}?fieldManager=platform-engineer&force=true", dict(manifest), APPLY)

    def patch(self, kind: str, name: str, change: Json, subresource: str = "") -> Json:
        """Apply a JSON merge patch."""
        return self.api.call("PATCH", self._path(kind, name, subresource), change, MERGE_PATCH)

    def delete(self, kind: str, name: str) -> bool:
        """Delete one object without waiting; say whether it was there."""
        try:
            self.api.call("DELETE", self._path(kind, name))
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def wait_for(self, kind: str, name: str, holds: Callable[[Json], bool], timeout: float = 30.0) -> Json:
        """Wait until there is such an object and ``holds`` says yes of it; return it."""

        def look() -> Json | None:
            found = self.find(kind, name)
            return found if found is not None and holds(found) else None

        return until(look, lambda: f"{kind} {name} to come to what was awaited: {self.find(kind, name)}", timeout)

    def wait_gone(self, kind: str, name: str, timeout: float = 30.0) -> None:
        """Wait until there is no such object."""
        until(lambda: self.find(kind, name) is None, lambda: f"{kind} {name} to go: {self.find(kind, name)}", timeout)

    def _path(self, kind: str, name: str = "", subresource: str = "") -> str:
        return BY_KIND[kind].path(self.namespace, name, subresource)

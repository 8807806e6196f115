"""kubectl as the tests use it: what a platform engineer types, with the words that come back."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JSON = dict[str, Any]


class KubectlError(Exception):
    """kubectl refused; the text is what a person would read."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl against one API server as one user in one namespace."""

    program: Path
    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> Kubectl:
        """Return the same for another namespace."""
        return replace(self, namespace=namespace)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed; raise KubectlError with its words when it fails."""
        done = subprocess.run(
            [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.kubeconfig.parent)},
        )
        if done.returncode:
            raise KubectlError(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def apply(self, *objects: JSON) -> str:
        """Apply objects as ``kubectl apply -f`` does."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self("apply", "-f", "-", stdin=json.dumps(listed if len(objects) > 1 else objects[0]))

    def get(self, kind: str, name: str) -> JSON:
        """Return one object."""
        found: JSON = json.loads(self("get", kind, name, "-o", "json"))
        return found

    def find(self, kind: str, name: str) -> JSON | None:
        """Return one object, or None when there is none of that name."""
        text = self("get", kind, name, "-o", "json", "--ignore-not-found")
        found: JSON | None = json.loads(text) if text.strip() else None
        return found

    def list(self, kind: str, *arguments: str) -> list[JSON]:
        """Return all objects of a kind that the arguments (a selector, say) leave."""
        items: list[JSON] = json.loads(self("get", kind, "-o", "json", *arguments))["items"]
        return items

    def patch(self, kind: str, name: str, change: JSON, *arguments: str) -> str:
        """Apply a JSON merge patch."""
        return self("patch", kind, name, "--type=merge", "-p", json.dumps(change), *arguments)

    def patch_status(self, kind: str, name: str, status: JSON) -> str:
        """Apply a JSON merge patch to the status."""
        return self.patch(kind, name, {"status": status}, "--subresource=status")

    def delete(self, kind: str, name: str, *arguments: str) -> str:
        """Delete one object and wait until it is gone unless told otherwise."""
        return self("delete", kind, name, *arguments)

    def wait_for(self, kind: str, name: str, holds: Callable[[JSON], bool], timeout: float = 30.0) -> JSON:
        """Wait until there is such an object and ``holds`` says yes of it; return it."""

        def look() -> JSON | None:
            found = self.find(kind, name)
            return found if found is not None and holds(found) else None

        return until(look, lambda: f"{kind}/{name} to come to what was awaited: {self.find(kind, name)}", timeout)

    def wait_gone(self, kind: str, name: str, timeout: float = 30.0) -> None:
        """Wait until there is no such object."""
        until(
            lambda: self.find(kind, name) is None, lambda: f"{kind}/{name} to be gone: {self.find(kind, name)}", timeout
        )

"""kubectl as the tests use it: what a platform engineer types, with the words that come back."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
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
            self._command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=self._env,
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
        last: JSON | None = None
        with closing(self._follow(kind, name, timeout)) as versions:
            for last in versions:
                if last is not None and holds(last):
                    return last
        raise AssertionError(f"waited {timeout:g} s for {kind}/{name} to come to what was awaited: {last}")

    def wait_gone(self, kind: str, name: str, timeout: float = 30.0) -> None:
        """Wait until there is no such object."""
        self("wait", "--for=delete", f"{kind}/{name}", f"--timeout={timeout:g}s")

    def _follow(self, kind: str, name: str, timeout: float) -> Generator[JSON | None]:
        """Yield an object as it is and after every change, None while there is none; again each second, for who waits for
        something beside it. One kubectl watches, instead of one for each look."""
        deadline = time.monotonic() + timeout
        last: JSON | None = None
        while time.monotonic() < deadline:
            arguments = (
                "get",
                kind,
                f"--field-selector=metadata.name={name}",
                "-o",
                "json",
                "-w",
                "--output-watch-events",
            )
            with closing(_printed(self._command(*arguments), self._env, deadline)) as events:
                for event in events:
                    if event is not None:
                        last = None if event["type"] == "DELETED" else event["object"]
                    yield last

    def _command(self, *arguments: str) -> Sequence[str]:
        return [str(self.program), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "HOME": str(self.kubeconfig.parent)}


def _printed(command: Sequence[str], env: Mapping[str, str], deadline: float) -> Generator[JSON | None]:
    """Yield what a program prints, a document a line, as it comes, and None each second; KubectlError when it fails."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as program:
        try:
            assert program.stdout is not None
            assert program.stderr is not None
            text = b""
            while (left := deadline - time.monotonic()) > 0:
                if not select.select([program.stdout], [], [], min(1.0, left))[0]:
                    yield None
                    continue
                read = os.read(program.stdout.fileno(), 1 << 16)
                if not read:
                    if program.wait():
                        raise KubectlError(program.stderr.read().decode().strip())
                    return
                *lines, text = (text + read).split(b"\n")
                yield from map(json.loads, lines)
        finally:
            program.kill()

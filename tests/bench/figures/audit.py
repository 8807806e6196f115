"""Counts what the operator wrote, from the API server's own audit log rather than from the operator's word."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Write:
    """One write request as the API server saw it."""

    verb: str
    resource: str
    name: str
    user: str
    agent: str
    code: int


class AuditLog:
    """Reads a log that grows; `mark` remembers a place in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mark(self) -> int:
        """The present end of the log, in bytes."""
        return self.path.stat().st_size

    def writes(self, since: int, user_suffix: str) -> list[Write]:
        """Writes of one service account after `since`, without leases and events, which time bounds and not tenants."""
        return [
            write
            for write in self._all(since)
            if write.user.endswith(user_suffix) and write.verb in WRITES and write.resource not in {"leases", "events"}
        ]

    def _all(self, since: int) -> Iterator[Write]:
        with self.path.open("rb") as log:
            log.seek(since)
            for line in log:
                if line.endswith(b"\n"):
                    entry: dict[str, Any] = json.loads(line)
                    if entry.get("stage") == "ResponseComplete" and "objectRef" in entry:
                        yield _write(entry)


def _write(entry: dict[str, Any]) -> Write:
    ref = entry["objectRef"]
    resource = ref["resource"] + (f"/{ref['subresource']}" if "subresource" in ref else "")
    return Write(
        verb=entry["verb"],
        resource=resource,
        name=ref.get("name", ""),
        user=entry["user"]["username"],
        agent=entry.get("userAgent", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
    )

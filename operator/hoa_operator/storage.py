"""How much room a tenant takes of what its tier grants: pure.

Sizes are measured at every reading of a tenant's figures, and hardly two measurements agree. What is told therefore stays
as it is until it is off by more than a little, or what it means changes; and what it means changes back only once it is
clear of the boundary. So a figure that wobbles writes nothing and tells nobody twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from hoa_operator import quantities

Level = Literal["WithinLimit", "NearLimit", "Full"]
MEBIBYTE: Final = 2**20
#: Percent of the limit from which a warning is due, and below which it is over.
NEAR_PERCENT: Final = 80
CLEAR_PERCENT: Final = 77
#: The largest file that the app takes; where less room is left than that, uploads begin to be refused.
LARGEST_UPLOAD: Final = 10 * MEBIBYTE
#: What a told figure may be off by: vacuuming alone moves a small database by several MiB.
_TOLERATED_BYTES: Final = 8 * MEBIBYTE
_TOLERATED_SHARE: Final = 0.02


@dataclass(frozen=True)
class Storage:
    """Bytes taken by the database and by files, and the most that both may take together."""

    database: int
    files: int
    limit: int

    @property
    def used(self) -> int:
        """Bytes of both."""
        return self.database + self.files

    @property
    def left(self) -> int:
        """Bytes that still fit."""
        return max(0, self.limit - self.used)

    @property
    def percent(self) -> int:
        """Whole percent of the limit, never rounded up to it."""
        return self.used * 100 // self.limit

    def to_status(self) -> dict[str, Any]:
        """Return `status.storage`: quantities in whole MiB."""
        return {
            "used": _spelled(self.used),
            "database": _spelled(self.database),
            "files": _spelled(self.files),
            "limit": quantities.memory(self.limit),
            "percent": self.percent,
        }

    def describe(self) -> str:
        """Return the figures for people."""
        parts = f"database {_spelled(self.database)}, files {_spelled(self.files)}"
        return f"{_spelled(self.used)} of {quantities.memory(self.limit)} ({self.percent} %): {parts}"


def from_status(raw: Any) -> Storage | None:
    """Return what a status told; None where it told nothing, or only one figure, as operators did before."""
    if not isinstance(raw, Mapping) or not raw:
        return None
    return Storage(*(quantities.count_bytes(raw[key]) for key in ("database", "files", "limit")))


def told(measured: Storage, before: Storage | None, meant: str | None) -> Storage:
    """Return what to tell: what was told `before`, while that is near enough and still means what it `meant`."""
    if before is None or before.limit != measured.limit or level(measured, meant) != meant:
        return _rounded(measured)
    tolerated = max(_TOLERATED_BYTES, int(before.used * _TOLERATED_SHARE))
    off = max(abs(before.database - measured.database), abs(before.files - measured.files))
    return before if off <= tolerated else _rounded(measured)


def level(storage: Storage, before: str | None) -> Level:
    """Return what the figures mean; `before` is what they meant, which lasts until they are clear of the boundary."""
    if storage.left < LARGEST_UPLOAD or (before == "Full" and storage.left < 2 * LARGEST_UPLOAD):
        return "Full"
    clear = CLEAR_PERCENT if before in ("NearLimit", "Full") else NEAR_PERCENT
    return "NearLimit" if storage.used * 100 >= clear * storage.limit else "WithinLimit"


def _rounded(storage: Storage) -> Storage:
    """Return the figures as a status can hold them, so that what it says is read back as it was meant."""
    database, files = (math.ceil(size / MEBIBYTE) * MEBIBYTE for size in (storage.database, storage.files))
    return Storage(database, files, storage.limit)


def _spelled(size: int) -> str:
    return f"{math.ceil(size / MEBIBYTE)}Mi"

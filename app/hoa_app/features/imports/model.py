"""An import as its preview shows it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec


class Counts(msgspec.Struct, frozen=True, rename="camel"):
    """What an import does, or did: lines by outcome, and what is new besides the homeowners."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    new_people: int = 0
    new_units: int = 0
    new_communities: list[str] = []


class Import(msgspec.Struct, frozen=True, rename="camel"):
    """One uploaded file and what became of it."""

    id: UUID
    filename: str
    state: Literal["Previewed", "Imported"]
    line_count: int
    error_count: int
    delimiter: str
    unknown_columns: list[str]
    counts: Counts
    created_at: datetime
    imported_at: datetime | None
    created_by: str


class PreviewRow(msgspec.Struct, frozen=True, rename="camel"):
    """One line of the file, and what importing it does."""

    line: int
    community: str
    unit: str
    name: str
    email: str
    phone: str
    outcome: Literal["New", "Updated", "Unchanged"]


class CellChange(msgspec.Struct, frozen=True, rename="camel"):
    """One value that is known already, and what the file says instead."""

    column: str
    before: str
    after: str


class LineChange(msgspec.Struct, frozen=True, rename="camel"):
    """One line of the file that changes something known."""

    line: int
    name: str
    unit: str
    cells: list[CellChange]


class ErrorRow(msgspec.Struct, frozen=True, rename="camel"):
    """What is wrong on one line, and what to do about it."""

    line: int
    column: str
    value: str
    problem: str
    remedy: str

"""Requests, what is said about them, and what a person may send about one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.forms import FormReader, content_key
from hoa_app.features.requests.workflow import CATEGORIES, Category, State

Visibility = Literal["Public", "Internal"]


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """One request as its page and the API show it."""

    id: UUID
    number: int
    category: Category
    title: str
    description: str
    state: State
    community_id: UUID | None
    community: str | None
    unit_id: UUID | None
    unit: str | None
    person_id: UUID | None
    reporter: str
    reporter_user_id: UUID | None
    created_by: UUID
    assignee_id: UUID | None
    assignee: str | None
    changed_by: str | None
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def place(self) -> str:
        """Community and unit in one line."""
        return " ".join(part for part in (self.community, self.unit) if part)


class Comment(msgspec.Struct, frozen=True, rename="camel"):
    """Something said about a request; Internal ones are seen by staff only."""

    id: UUID
    author: str
    author_role: str
    visibility: Visibility
    body: str
    created_at: datetime


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """Something that happened to a request."""

    id: UUID
    actor: str
    kind: Literal["Submitted", "Moved", "Assigned", "PhotosAdded"]
    detail: dict[str, Any]
    created_at: datetime


class PhotoInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A photo that came with a request; its bytes are served apart, to those who may see the request."""

    id: UUID
    filename: str
    media_type: str
    bytes: int
    created_at: datetime
    storage_key: str = msgspec.field(default="", name="storageKey")


@dataclass(frozen=True)
class Filters:
    """Which requests a list shows. ``viewer`` narrows to what one homeowner may see (None: a member of staff)."""

    states: frozenset[State]
    category: str = ""
    community_id: UUID | None = None
    assignee_id: UUID | None = None
    unassigned: bool = False
    search: str = ""
    viewer: UUID | None = None


@dataclass(frozen=True)
class NewRequest:
    """What someone who files a request says."""

    category: Category
    title: str
    description: str
    unit_id: UUID | None
    person_id: UUID | None
    submission_key: UUID | None

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "NewRequest":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        category = reader.choice("category", "what it is about", frozenset(CATEGORIES))
        title = reader.line("title", "a short title", limit=140, required=True)
        description = reader.text("description", "a description", limit=5000, required=True)
        unit_id = reader.identifier("unit_id", "a unit")
        person_id = reader.identifier("person_id", "a person")
        key = reader.identifier("submission_key", "the form")
        if reader.errors:
            raise Rejected(reader.errors)
        about = (str(unit_id or ""), str(person_id or ""))
        once = content_key(key, category, title, description, *about)
        return cls(Category(category), title, description, unit_id, person_id, once)


@dataclass(frozen=True)
class Reply:
    """A comment, a move to another state, or both at once."""

    body: str
    visibility: Visibility
    state: State | None
    version: int
    submission_key: UUID | None

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "Reply":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        body = reader.text("body", "your message", limit=5000)
        visibility: Visibility = "Internal" if reader.value("visibility") == "Internal" else "Public"
        wanted = reader.value("state")
        if wanted and wanted not in set(State):
            reader.errors["state"] = f"There is no state {wanted[:40]}."
        if not body and not wanted:
            reader.errors["body"] = "Write a message, or choose what happens next."
        key = reader.identifier("submission_key", "the form")
        if reader.errors:
            raise Rejected(reader.errors)
        once = content_key(key, body, visibility)
        return cls(body, visibility, State(wanted) if wanted else None, reader.number("version", 0), once)

"""People and what they own, as pages and the API show them, and as a person may change them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import msgspec

from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.forms import FormReader, content_key

PORTAL = {"Active": "Has an account", "Invited": "Invited", "None": "Not invited"}


class Person(msgspec.Struct, frozen=True, rename="camel"):
    """One homeowner record. ``portal`` is Active (signs in), Invited or None; ``units`` are those owned today.

    ``signs_in_as`` is the address of the account, which stays when ``email`` changes.
    """

    id: UUID
    name: str
    email: str
    phone: str
    mailing_address: str
    portal: str
    units: list[str]
    version: int
    user_id: UUID | None
    signs_in_as: str | None


class Ownership(msgspec.Struct, frozen=True, rename="camel"):
    """One person's ownership of one unit from ``valid_from`` until the day before ``valid_to`` (None: still)."""

    id: UUID
    person_id: UUID
    person: str
    unit_id: UUID
    unit: str
    unit_address: str
    community_id: UUID
    community: str
    valid_from: date
    valid_to: date | None
    is_primary: bool
    current: bool


@dataclass(frozen=True)
class PersonForm:
    """What a person may say about a homeowner."""

    name: str
    email: str
    phone: str
    mailing_address: str
    version: int
    submission_key: UUID | None = None

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "PersonForm":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        facts = (
            reader.line("name", "the person's name", limit=160, required=True),
            reader.email("email"),
            reader.phone("phone"),
            reader.line("mailing_address", "an address", limit=300),
        )
        key = content_key(reader.identifier("submission_key", "the form"), *facts)
        form = cls(*facts, reader.number("version", 0), key)
        if reader.errors:
            raise Rejected(reader.errors)
        return form


@dataclass(frozen=True)
class OwnershipForm:
    """A unit that a person comes to own, or owned for some time."""

    unit_id: UUID
    valid_from: date
    valid_to: date | None
    is_primary: bool

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "OwnershipForm":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        unit_id = reader.identifier("unit_id", "a unit", required=True)
        start, end = reader.day("valid_from", required=True), reader.day("valid_to")
        if start and end and end <= start:
            reader.errors.setdefault("valid_to", "The end must be after the start.")
        if reader.errors or unit_id is None or start is None:
            raise Rejected(reader.errors)
        return cls(unit_id, start, end, reader.value("is_primary").lower() in {"yes", "on", "true"})


@dataclass(frozen=True)
class EndForm:
    """The day on which an ownership ends."""

    valid_to: date

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "EndForm":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        end = reader.day("valid_to", required=True)
        if reader.errors or end is None:
            raise Rejected(reader.errors)
        return cls(end)

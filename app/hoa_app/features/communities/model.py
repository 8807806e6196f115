"""Communities and their units, as pages and the API show them, and as a person may change them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from hoa_app.features.kit.answers import Rejected
from hoa_app.features.kit.forms import FormReader


class Community(msgspec.Struct, frozen=True, rename="camel"):
    """One association."""

    id: UUID
    name: str
    address: str
    time_zone: str
    version: int
    created_at: datetime
    units: int
    homeowners: int
    open_requests: int


@dataclass(frozen=True)
class Workload:
    """One association, and how many of its requests are open."""

    id: UUID
    name: str
    address: str
    open_requests: int


class Unit(msgspec.Struct, frozen=True, rename="camel"):
    """One home within a community; ``owners`` names those who own it today."""

    id: UUID
    community_id: UUID
    community: str
    label: str
    address: str
    version: int
    sort_key: str
    owners: list[str]


@dataclass(frozen=True)
class CommunityForm:
    """What a person may say about a community."""

    name: str
    address: str
    time_zone: str
    version: int

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "CommunityForm":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        form = cls(
            reader.line("name", "the community's name", limit=120, required=True),
            reader.line("address", "an address", limit=300),
            reader.zone("time_zone"),
            reader.number("version", 0),
        )
        if reader.errors:
            raise Rejected(reader.errors)
        return form


@dataclass(frozen=True)
class UnitForm:
    """What a person may say about a unit."""

    label: str
    address: str
    version: int

    @classmethod
    def read(cls, raw: Mapping[str, object]) -> "UnitForm":
        """From a submitted form; raises Rejected."""
        reader = FormReader(raw)
        form = cls(
            reader.line("label", "the unit's number or label", limit=60, required=True),
            reader.line("address", "an address", limit=300),
            reader.number("version", 0),
        )
        if reader.errors:
            raise Rejected(reader.errors)
        return form

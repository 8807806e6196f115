"""The columns an import understands, and the many names spreadsheets give them."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column: its name, other names it goes by, and what a person should put there."""

    key: str
    aliases: frozenset[str]
    help: str
    limit: int
    example: str
    required: bool = False


def _column(key: str, aliases: str, text: str, limit: int, example: str, *, required: bool = False) -> Column:
    names = frozenset(part.strip() for part in aliases.split(",")) | {key.replace("_", " ")}
    return Column(key, names, text, limit, example, required)


COLUMNS: tuple[Column, ...] = (
    _column(
        "community",
        "association, association name, community name, hoa, hoa name, property, subdivision",
        "The community's name. May be left out when you choose one community for the whole file.",
        120,
        "Harbor Point",
    ),
    _column(
        "unit",
        "unit number, unit no, unit id, lot, lot number, door, apartment, apt, suite",
        "The unit's number or label within its community.",
        60,
        "12B",
        required=True,
    ),
    _column(
        "unit_address",
        "property address, street address, address, site address, service address",
        "Where the unit is.",
        300,
        "12 Harbor Way, Unit B, Seabreeze FL 32118",
    ),
    _column(
        "name",
        "owner, owner name, homeowner, homeowner name, full name, resident, contact, contact name",
        "The homeowner's full name. First and last name in two columns work too.",
        160,
        "Ana Torres",
        required=True,
    ),
    _column("first_name", "first, given name, firstname, owner first name", "Given name.", 80, ""),
    _column("last_name", "last, surname, family name, lastname, owner last name", "Family name.", 80, ""),
    _column(
        "email",
        "e mail, email address, e mail address, mail, owner email, primary email",
        "Needed to invite the homeowner to the portal.",
        254,
        "ana.torres@example.com",
    ),
    _column(
        "phone",
        "phone number, telephone, tel, mobile, cell, cell phone, mobile phone, primary phone",
        "Any usual way of writing it.",
        40,
        "(555) 010-4477",
    ),
    _column(
        "mailing_address",
        "mail address, postal address, billing address, owner address, correspondence address",
        "Where letters go, if not to the unit.",
        300,
        "PO Box 81, Seabreeze FL 32118",
    ),
    _column(
        "owner_since",
        "owned since, owner from, valid from, since, move in, move in date, purchase date, closing date, start date",
        "2021-04-30 or 4/30/2021. Left empty, a new ownership starts today.",
        40,
        "2021-04-30",
    ),
    _column(
        "primary_contact",
        "primary, main contact, is primary",
        "yes for the one owner of a unit to write to first.",
        10,
        "yes",
    ),
)
BY_KEY = {column.key: column for column in COLUMNS}
TEMPLATE = tuple(column for column in COLUMNS if column.key not in {"first_name", "last_name"})
_BY_NAME = {alias: column.key for column in COLUMNS for alias in column.aliases}
_NOT_WORD = re.compile(r"[^a-z0-9]+")


def recognised(header: str) -> str | None:
    """Key of the column that a header names, whatever its case and punctuation; None for a column we do not know."""
    return _BY_NAME.get(_NOT_WORD.sub(" ", header.lower()).strip())

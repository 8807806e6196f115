"""One line of an import: read into a typed row, or into the list of what a person must mend."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from hoa_app.features.imports.columns import BY_KEY
from hoa_app.features.kit.forms import checked_day, one_line, valid_email, valid_phone
from hoa_app.features.kit.spreadsheets import plain

_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_YES = frozenset({"yes", "y", "true", "1", "x"})
_NO = frozenset({"no", "n", "false", "0"})


@dataclass(frozen=True)
class HomeownerRow:
    """One homeowner of one unit, as a line of the file says it; empty text means the file says nothing."""

    line: int
    community: str
    unit: str
    unit_address: str
    name: str
    email: str
    phone: str
    mailing_address: str
    owner_since: date | None
    primary: bool | None

    @property
    def person_key(self) -> str:
        """What makes two lines speak of one person: the mail address, else the name within the unit."""
        return f"mail {self.email}" if self.email else f"name {self.name.casefold()} of {self.unit_key}"

    @property
    def unit_key(self) -> str:
        """What makes two lines speak of one unit."""
        return f"{self.community.casefold()} / {self.unit.casefold()}"


@dataclass(frozen=True)
class RowError:
    """What is wrong on one line: the column's header ("" for the whole line), its value, and the cure."""

    line: int
    column: str
    value: str
    problem: str
    remedy: str


@dataclass
class RowReader:
    """Reads the cells of one line after another."""

    default_community: str
    today: date

    def read(self, line: int, cells: Mapping[str, str]) -> tuple[HomeownerRow | None, list[RowError]]:
        """The row, unless something is wrong with it; then everything that is wrong."""
        values = {key: one_line(plain(cell.strip())) for key, cell in cells.items()}
        errors = [_too_long(line, key, value) for key, value in values.items() if len(value) > BY_KEY[key].limit]
        name = values.get("name") or f"{values.get('first_name', '')} {values.get('last_name', '')}".strip()
        community = values.get("community") or self.default_community
        errors += _missing(line, community, values.get("unit", ""), name)
        email = values.get("email", "").lower()
        phone = values.get("phone", "")
        if email and not valid_email(email):
            errors.append(
                RowError(
                    line,
                    "email",
                    email,
                    "This is not an email address.",
                    "Write one address like ana@example.com, or leave it empty.",
                )
            )
        if phone and not valid_phone(phone):
            errors.append(
                RowError(
                    line, "phone", phone, "This is not a phone number.", "Write 7 to 15 digits, or leave it empty."
                )
            )
        since = self._day(line, values.get("owner_since", ""), errors)
        primary = _yes_no(line, values.get("primary_contact", ""), errors)
        if errors:
            return None, errors
        row = HomeownerRow(
            line,
            community,
            values["unit"],
            values.get("unit_address", ""),
            name,
            email,
            phone,
            values.get("mailing_address", ""),
            since,
            primary,
        )
        return row, []

    def _day(self, line: int, text: str, errors: list[RowError]) -> date | None:
        if not text:
            return None
        day = _parsed_day(text)
        if day is None:
            errors.append(
                RowError(line, "owner_since", text, "This is not a date.", "Write it as 2021-04-30 or 4/30/2021.")
            )
        elif day > self.today:
            errors.append(
                RowError(
                    line,
                    "owner_since",
                    text,
                    "This date is in the future.",
                    "Import the homeowner on or after that day.",
                )
            )
            return None
        return day


@dataclass
class Seen:
    """What earlier lines said, to find lines that repeat or contradict them."""

    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    names: dict[str, tuple[str, int]] = field(default_factory=dict)
    primaries: dict[str, int] = field(default_factory=dict)
    facts: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    def problems(self, row: HomeownerRow) -> list[RowError]:
        """What is wrong with a row in the light of the lines before it."""
        errors: list[RowError] = []
        first = self.pairs.setdefault((row.person_key, row.unit_key), row.line)
        if first != row.line:
            errors.append(
                RowError(
                    row.line,
                    "",
                    row.name,
                    f"The same homeowner and unit are already on line {first}.",
                    "Remove one of the two lines.",
                )
            )
        if row.email:
            name, line = self.names.setdefault(row.email, (row.name, row.line))
            if name.casefold() != row.name.casefold():
                problem = f"Line {line} gives this address to {name}."
                errors.append(
                    RowError(
                        row.line, "email", row.email, problem, "Give each person their own address, or leave one empty."
                    )
                )
        if row.primary:
            first = self.primaries.setdefault(row.unit_key, row.line)
            if first != row.line:
                problem = f"Line {first} already names the primary contact of this unit."
                errors.append(RowError(row.line, "primary_contact", "yes", problem, "Say yes on one line per unit."))
        return errors + self._contradictions(row)

    def _contradictions(self, row: HomeownerRow) -> list[RowError]:
        """A phone, a mailing address or a unit's address that an earlier line gives differently."""
        found = []
        stated = (
            ("phone", row.person_key, row.phone),
            ("mailing_address", row.person_key, row.mailing_address),
            ("unit_address", row.unit_key, row.unit_address),
        )
        for column, subject, value in stated:
            first, line = self.facts.setdefault((column, subject), (value, row.line)) if value else (value, row.line)
            if first != value:
                problem = f"Line {line} says “{first}” instead."
                found.append(
                    RowError(row.line, column, value, problem, "Write the same on both lines, or leave one empty.")
                )
        return found


def _missing(line: int, community: str, unit: str, name: str) -> list[RowError]:
    found = []
    if not community:
        found.append(
            RowError(
                line,
                "community",
                "",
                "No community is named.",
                "Fill in the column, or choose one community for the whole file.",
            )
        )
    if not unit:
        found.append(RowError(line, "unit", "", "The unit is missing.", "Write the unit's number or label."))
    if not name:
        found.append(RowError(line, "name", "", "The homeowner's name is missing.", "Write the full name."))
    return found


def _too_long(line: int, key: str, value: str) -> RowError:
    column = BY_KEY[key]
    problem = f"This is {len(value)} characters; at most {column.limit} fit."
    return RowError(line, column.key, value[:80] + "…", problem, "Shorten it.")


def _parsed_day(text: str) -> date | None:
    for form in ("%Y-%m-%d", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M"):
        try:
            return checked_day(_day_in(form, text))
        except ValueError:
            continue
    return None


def _day_in(form: str, text: str) -> date:
    if _ISO_DAY.match(text):  # most are written so, and strptime takes as long as all else that is done for a line
        return date.fromisoformat(text)
    return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day of a deed has no zone


def _yes_no(line: int, text: str, errors: list[RowError]) -> bool | None:
    if not text:
        return None
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    errors.append(
        RowError(line, "primary_contact", text, "This is neither yes nor no.", "Write yes, no, or leave it empty.")
    )
    return None

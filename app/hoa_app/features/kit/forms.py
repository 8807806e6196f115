"""What a person typed, read once at the edge: trimmed values, and one message per field that cannot be taken."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID, uuid5
from zoneinfo import available_timezones

EMAIL = re.compile(r"[^\s@<>(),;:\"\[\]\\]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,}\Z")
PHONE = re.compile(r"\+?[0-9 ().\-/x#*]{5,40}\Z", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\u00a0\u2007\u202f]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def one_line(text: str) -> str:
    """Text as it is stored when it is one line: NFC, without outer or doubled white space or control characters."""
    if text.isascii() and text.isprintable() and "  " not in text:  # as most cells of a spreadsheet, which are many
        return text.strip()
    return _SPACE.sub(
        " ", _CONTROL.sub("", unicodedata.normalize("NFC", text)).replace("\r", " ").replace("\n", " ")
    ).strip()


def prose(text: str) -> str:
    """Text of several lines as it is stored: NFC, ``\\n`` line ends, no control characters, trimmed."""
    clean = _CONTROL.sub("", unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n"))
    return "\n".join(line.rstrip() for line in clean.split("\n")).strip()


def valid_email(text: str) -> bool:
    """Whether mail could be sent there: a shape check, the invitation is the proof."""
    local = text.partition("@")[0]
    shaped = bool(EMAIL.match(text)) and ".." not in text and not local.startswith(".") and not local.endswith(".")
    return shaped and len(text) <= 254 and len(local) <= 64


def valid_phone(text: str) -> bool:
    """Whether it has the digits of a telephone number, with any of the usual punctuation."""
    digits = sum(character.isdigit() for character in text.lower().partition("x")[0])
    return bool(PHONE.match(text)) and 7 <= digits <= 15


@dataclass
class FormReader:
    """Reads fields of one submitted form and gathers what is wrong with each."""

    raw: Mapping[str, object]
    errors: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """What was sent for a field, as text; files and absent fields read as empty."""
        found = self.raw.get(name, "")
        return found if isinstance(found, str) else ""

    def line(self, name: str, label: str, *, limit: int, required: bool = False) -> str:
        """One line of text."""
        return self._checked(name, one_line(self.value(name)), label, limit, required)

    def text(self, name: str, label: str, *, limit: int, required: bool = False) -> str:
        """Several lines of text."""
        return self._checked(name, prose(self.value(name)), label, limit, required)

    def email(self, name: str, *, required: bool = False) -> str:
        """A mail address, in lower case because people type it both ways."""
        text = self.line(name, "an email address", limit=254, required=required).lower()
        if text and not valid_email(text):
            self.errors.setdefault(name, "This does not look like an email address. Example: ana@example.com")
        return text

    def phone(self, name: str) -> str:
        """A telephone number."""
        text = self.line(name, "a phone number", limit=40)
        if text and not valid_phone(text):
            self.errors.setdefault(name, "This does not look like a phone number. Example: (555) 010-4477")
        return text

    def day(self, name: str, *, required: bool = False) -> date | None:
        """A date as browsers send it (YYYY-MM-DD)."""
        text = one_line(self.value(name))
        if not text:
            if required:
                self.errors.setdefault(name, "Choose a date.")
            return None
        try:
            return checked_day(date.fromisoformat(text))
        except ValueError:
            self.errors.setdefault(name, "This is not a date. Write it as 2026-03-31.")
            return None

    def identifier(self, name: str, label: str, *, required: bool = False) -> UUID | None:
        """The id of something chosen from a list."""
        text = self.value(name).strip()
        if not text and required:
            self.errors.setdefault(name, f"Choose {label}.")
        try:
            return UUID(text) if text else None
        except ValueError:
            self.errors.setdefault(name, f"Choose {label} from the list.")
            return None

    def choice(self, name: str, label: str, allowed: Mapping[str, object] | frozenset[str]) -> str:
        """One of a fixed set of values."""
        text = self.value(name)
        if text not in allowed:
            self.errors.setdefault(name, f"Choose {label}.")
        return text

    def zone(self, name: str) -> str:
        """An IANA time zone."""
        text = self.value(name).strip()
        if text not in available_timezones():
            self.errors.setdefault(name, "Choose a time zone from the list, such as America/New_York.")
        return text

    def number(self, name: str, default: int) -> int:
        """A whole number that the page itself put there (a version); anything else reads as ``default``."""
        text = self.value(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default

    def _checked(self, name: str, text: str, label: str, limit: int, required: bool) -> str:
        if required and not text:
            self.errors.setdefault(name, f"Enter {label}.")
        elif len(text) > limit:
            self.errors.setdefault(name, f"At most {limit:,} characters fit into {label}; this is {len(text):,}.")
        return text


def content_key(key: UUID | None, *content: str | None) -> UUID | None:
    """The key of what was sent with a form: the same form with other words is something else, not a repeat."""
    return uuid5(key, json.dumps(content)) if key else None


def checked_day(day: date) -> date:
    """The same day; ValueError when no deed could carry it."""
    if not 1800 <= day.year <= 2200:
        raise ValueError("year out of range")
    return day

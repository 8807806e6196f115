"""From the bytes of an uploaded spreadsheet to rows and a list of what is wrong with it, line by line; no I/O.

A file is refused whole (``FileRefusedError``) when nothing in it could be trusted: unreadable text, no header we know.
Anything else is an error of one row, so that a person mends all of them in one go instead of uploading once per mistake.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from hoa_app.features.imports.columns import recognised
from hoa_app.features.imports.rows import HomeownerRow, RowError, RowReader, Seen

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 50_000
MAX_ERRORS = 10_000
# Whoever has so many has made one of them over and over; holding every copy would only cost memory.
STOPPED = f"Mend what is listed and upload the file again: what comes after {MAX_ERRORS:,} mistakes was not looked at."
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_SAVE_AS = (
    "In Excel choose File, Save As, “CSV UTF-8 (Comma delimited)”; in Google Sheets File, Download, CSV."
    " Then upload that file."
)


class FileRefusedError(ValueError):
    """The file as a whole cannot be read; ``line`` is where it went wrong, if that is known."""

    def __init__(self, problem: str, remedy: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.line = line


@dataclass(frozen=True)
class ParsedFile:
    """What a file holds: rows that can be imported, what is wrong with the others, and how it was read."""

    rows: tuple[HomeownerRow, ...]
    errors: tuple[RowError, ...]
    line_count: int
    delimiter: str
    unknown_columns: tuple[str, ...]


def parse(data: bytes, default_community: str, today: date) -> ParsedFile:
    """Read a whole file. ``default_community`` stands in for rows that name none ("" if there is none)."""
    text = decoded(data)
    delimiter = _delimiter(text)
    records = _records(text, delimiter)
    header_line, header = next(records, (1, []))
    places, unknown = _header(header, header_line)
    reader = RowReader(default_community, today)
    seen = Seen()
    rows: list[HomeownerRow] = []
    errors: list[RowError] = []
    count, unread = 0, None
    for line, cells in records:
        count += 1
        if count > MAX_ROWS:
            raise FileRefusedError(f"The file has more than {MAX_ROWS:,} rows.", "Split it into smaller files.", line)
        if unread is None and len(errors) >= MAX_ERRORS:
            unread = line
        if unread is not None:
            continue
        row, found = _row(reader, places, header, line, cells)
        found += seen.problems(row) if row else []
        errors += found
        if row and not found:
            rows.append(row)
    if count == 0:
        raise FileRefusedError(
            "The file has a header but no rows below it.", "Add one line per homeowner and unit.", header_line
        )
    errors += [_unread(unread)] if unread is not None else []
    return ParsedFile(tuple(rows), tuple(errors), count, _DELIMITERS[delimiter], unknown)


def _unread(line: int) -> RowError:
    problem = f"From this line on nothing was looked at: the lines before it hold {MAX_ERRORS:,} mistakes already."
    return RowError(line, "", "", problem, STOPPED)


def decoded(data: bytes) -> str:
    """The file's text; only UTF-8 is taken, because any other guess would spoil names without anyone noticing."""
    if not data.strip():
        raise FileRefusedError("The file is empty.", "Choose the file that holds your homeowners.")
    if data[:4] == b"PK\x03\x04" or data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise FileRefusedError("This is an Excel workbook, not a CSV file.", _SAVE_AS)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or _looks_like_utf16(data):
        raise FileRefusedError("This file is saved as UTF-16 (Excel calls it “Unicode Text”).", _SAVE_AS, 1)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise _not_utf8(data, error.start) from None
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise FileRefusedError(f"Line {line} holds a NUL character, so this is not a text file.", _SAVE_AS, line)
    return text


def _looks_like_utf16(data: bytes) -> bool:
    head = data[:400]
    return len(head) > 3 and max(head[0::2].count(0), head[1::2].count(0)) * 3 > len(head)


def _not_utf8(data: bytes, start: int) -> FileRefusedError:
    """Where the first byte that is not UTF-8 stands, and what it probably was meant to be."""
    line = data.count(b"\n", 0, start) + 1
    try:
        likely = data[start : start + 1].decode("cp1252")
        guess = f", probably “{likely}” in the Windows-1252 encoding" if likely.isprintable() else ""
    except UnicodeDecodeError:
        guess = ""
    problem = (
        f"Line {line} holds a byte that is not UTF-8 (0x{data[start]:02X}{guess}). Nothing was read from the file."
    )
    return FileRefusedError(problem, _SAVE_AS, line)


def _delimiter(text: str) -> str:
    """The delimiter under which the header names most columns we know; a line ``sep=;`` settles it."""
    first, _, _ = text.partition("\n")
    if first.lower().startswith("sep=") and first[4:5] in _DELIMITERS:
        return first[4]
    line = next((line for line in text.splitlines() if line.strip(' ,;\t"')), "")

    def known(delimiter: str) -> int:
        return len({recognised(cell.strip(' "')) for cell in line.split(delimiter)} - {None})

    return max(_DELIMITERS, key=lambda delimiter: (known(delimiter), line.count(delimiter)))


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records that are not blank, each with the line it starts on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _unreadable(start, str(error)) from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells) and not (start == 1 and cells[0].lower().startswith("sep=")):
            yield start, cells


def _unreadable(line: int, reason: str) -> FileRefusedError:
    if "field larger" in reason:
        return FileRefusedError(
            f"Line {line} holds a cell of more than 100,000 characters.", "Check that line for a missing quote.", line
        )
    problem = f"Line {line} has a quotation mark that is never closed, or text after a closed one."
    return FileRefusedError(problem, 'Write a quotation mark inside a cell twice (""), or take it out.', line)


def _header(cells: list[str], line: int) -> tuple[Mapping[int, str], tuple[str, ...]]:
    """Which cell holds which column, and the headers nobody knows."""
    places: dict[int, str] = {}
    unknown: list[str] = []
    for place, cell in enumerate(cells):
        key = recognised(cell)
        if key is None:
            unknown += [cell.strip()] if cell.strip() else []
        elif key in places.values():
            raise FileRefusedError(f"Two columns both mean “{key}”.", "Keep one of them and remove the other.", line)
        else:
            places[place] = key
    present = set(places.values())
    missing = [] if "unit" in present else ["unit"]
    missing += [] if present & {"name", "first_name", "last_name"} else ["name"]
    if missing:
        names = " and ".join(f"“{name}”" for name in missing)
        raise FileRefusedError(
            f"The first line names no {names} column.",
            "The first line must hold the column names; the template shows them.",
            line,
        )
    return places, tuple(unknown)


def _row(
    reader: RowReader, places: Mapping[int, str], header: list[str], line: int, cells: list[str]
) -> tuple[HomeownerRow | None, list[RowError]]:
    extra = [cell for cell in cells[len(header) :] if cell.strip()]
    if extra:
        problem = f"This line has {len(cells)} cells, the header has {len(header)}."
        return None, [RowError(line, "", extra[0], problem, "Put a cell that holds the delimiter in quotation marks.")]
    return reader.read(line, {key: cells[place] for place, key in places.items() if place < len(cells)})

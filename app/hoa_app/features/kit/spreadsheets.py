"""CSV that leaves the app: opened by spreadsheets, so that no cell of it may run as a formula."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

BLOCK = 32 * 1024
BOM = "\ufeff"  # without it Excel reads UTF-8 as the machine's old code page
# The wide forms count as the narrow ones in East Asian editions.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def neutral(value: object) -> str:
    """A cell's text, with an apostrophe before anything a spreadsheet would calculate."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def plain(text: str) -> str:
    """What ``neutral`` was given: takes the apostrophe away again, so that an exported file can be imported."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA_STARTS) else text


def csv_blocks(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """UTF-8 blocks of a CSV file, formulas neutralised. Not line by line: each block that is sent costs a change of threads."""
    buffer = io.StringIO()
    buffer.write(BOM)
    writer = csv.writer(buffer)
    writer.writerow(header)
    for row in rows:
        writer.writerow([neutral(cell) for cell in row])
        if buffer.tell() >= BLOCK:
            yield _taken(buffer).encode()
    yield _taken(buffer).encode()


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text

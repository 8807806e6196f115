"""Kubernetes quantities and durations as integers, and back in the API server's own canonical spelling.

Canonical spelling matters: what the operator applies must read back unchanged, or it would apply for ever.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
}
_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([eE][+-]?\d+)|([numkMGTPE]?))")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def _quantity(text: str) -> Decimal:
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m, 2, 512Mi or 10Gi")
    number, binary, exponent, decimal = match.groups()
    if binary:
        return Decimal(number) * _BINARY[binary]
    if exponent:
        return Decimal(f"{number}{exponent}")
    return Decimal(number) * _DECIMAL[decimal or ""]


def millicores(value: str | int | float) -> int:
    """Return a cpu quantity in thousandths of a core, rounded up as the API server does."""
    return _ceil(_quantity(str(value)) * 1000)


def count_bytes(value: str | int | float) -> int:
    """Return a memory or storage quantity in bytes, rounded up as the API server does."""
    return _ceil(_quantity(str(value)))


def milliseconds(text: str) -> int:
    """Return a duration such as `30s`, `1m30s` or `500ms` in milliseconds."""
    position, total = 0, Decimal(0)
    for match in _DURATION.finditer(text):
        if match.start() != position:
            break
        total += Decimal(match[1]) * _MILLISECONDS[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise ValueError(f"{text!r} is not a duration such as 500ms, 30s or 1m30s")
    return int(total)


def cpu(value: int) -> str:
    """Spell millicores as the API server does: whole cores without a suffix."""
    return str(value // 1000) if value % 1000 == 0 else f"{value}m"


def memory(value: int) -> str:
    """Spell bytes in the largest binary unit that divides them."""
    for suffix, factor in reversed(_BINARY.items()):
        if value and value % factor == 0:
            return f"{value // factor}{suffix}"
    return str(value)


def _ceil(value: Decimal) -> int:
    return int(value.to_integral_value(rounding="ROUND_CEILING"))

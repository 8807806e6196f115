"""A tenant chooses one colour; everything readable on the page follows from it by WCAG 2.2's contrast arithmetic."""

import re
from dataclasses import dataclass

DEFAULT_BRAND = "#1f5c57"
INK = "#22201c"
PAPER = "#ffffff"
READABLE = 4.5  # WCAG 2.2 AA, text of normal size (1.4.3)
_HEX = re.compile(r"#[0-9a-fA-F]{6}\Z")


@dataclass(frozen=True)
class Palette:
    """The tenant's colour and what is derived from it, each as ``#rrggbb``."""

    brand: str
    on_brand: str
    strong: str
    strong_hover: str
    soft: str
    line: str


def luminance(colour: str) -> float:
    """Relative luminance (0 black .. 1 white) of ``#rrggbb``, as WCAG 2.2 defines it."""
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 (same) to 21 (black on white)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mix(one: str, other: str, share: float) -> str:
    """The colour that is ``share`` (0..1) of ``other`` and the rest of ``one``."""
    pairs = ((int(one[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def palette(chosen: str | None) -> Palette:
    """Palette of a tenant's colour; anything that is not ``#rrggbb`` falls back to the house colour."""
    brand = chosen.lower() if chosen and _HEX.match(chosen) else DEFAULT_BRAND
    soft = mix(brand, PAPER, 0.9)
    strong = readable_on(brand, soft)
    return Palette(
        brand=brand,
        on_brand=PAPER if contrast(brand, PAPER) >= contrast(brand, INK) else INK,
        strong=strong,
        strong_hover=mix(strong, INK, 0.25),
        soft=soft,
        line=mix(brand, PAPER, 0.72),
    )


def readable_on(colour: str, background: str) -> str:
    """``colour`` darkened, by as little as needed, until text in it can be read on ``background`` and on white."""
    for step in range(21):
        darker = mix(colour, "#000000", step / 20)
        if min(contrast(darker, background), contrast(darker, PAPER)) >= READABLE:
            return darker
    return "#000000"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

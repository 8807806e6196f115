"""Whatever color a company picks, people can read the page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_app.features.kit.colour import DEFAULT_BRAND, INK, PAPER, READABLE, contrast, luminance, palette

COLOUR = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def test_the_reference_values_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert luminance("#ffffff") == pytest.approx(1)


@given(COLOUR)
def test_text_in_the_strong_color_is_readable_on_white_and_on_the_tint(chosen: str) -> None:
    made = palette(chosen)
    assert contrast(made.strong, PAPER) >= READABLE
    assert contrast(made.strong, made.soft) >= READABLE
    assert contrast(made.strong_hover, PAPER) >= READABLE


@given(COLOUR)
def test_words_on_the_color_get_the_better_of_dark_and_white(chosen: str) -> None:
    made = palette(chosen)
    assert made.brand == chosen
    assert contrast(made.on_brand, chosen) == max(contrast(PAPER, chosen), contrast(INK, chosen))
    assert contrast(made.on_brand, chosen) >= 3.9


@pytest.mark.parametrize("chosen", [None, "", "teal", "#12", "#12345g", "#123456;}body{display:none", "#123456\n"])
def test_anything_else_falls_back_to_ours(chosen: str | None) -> None:
    assert palette(chosen).brand == DEFAULT_BRAND


@given(COLOUR, COLOUR)
def test_contrast_has_no_sides(one: str, other: str) -> None:
    assert contrast(one, other) == contrast(other, one)
    assert 1 <= contrast(one, other) <= 21.01

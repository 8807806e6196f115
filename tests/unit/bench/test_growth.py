"""How the bench reads growth and waits out of what it saw."""

from __future__ import annotations

import pytest

from tests.bench.openloop import p99
from tests.bench.operator_motion import slope


@pytest.mark.parametrize(
    ("values", "expected"), [([5.0, 5.0, 5.0], 0.0), ([1.0, 3.0, 5.0, 7.0], 2.0), ([1.0, 9.0, 1.0, 9.0, 1.0], 0.0)]
)
def test_a_slope_is_the_growth_from_one_to_the_next(values: list[float], expected: float) -> None:
    assert slope(values)[0] == pytest.approx(expected)


def test_a_slope_knows_how_well_its_line_fits() -> None:
    assert slope([1.0, 3.0, 5.0, 7.0])[1] == pytest.approx(0)
    # Its line is 1.8 + 1.4 x; what is left squares up to 15.6, with 3 degrees of freedom and 10 of spread in x.
    assert slope([1.0, 5.0, 5.0, 3.0, 9.0]) == pytest.approx((1.4, 0.52**0.5))


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (50, 50), (100, 99), (500, 495)])
def test_ninety_nine_of_a_hundred_waited_no_longer(number: int, expected: float) -> None:
    assert p99([float(value) for value in range(number, 0, -1)]) == expected

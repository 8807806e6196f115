"""How the bench reads growth and waits out of what it saw."""

from __future__ import annotations

import pytest

from tests.bench.operator_motion import slope
from tests.bench.provisioning import p99


@pytest.mark.parametrize(
    ("values", "expected"), [([5.0, 5.0, 5.0], 0.0), ([1.0, 3.0, 5.0, 7.0], 2.0), ([1.0, 9.0, 1.0, 9.0, 1.0], 0.0)]
)
def test_a_slope_is_the_growth_from_one_to_the_next(values: list[float], expected: float) -> None:
    assert slope(values) == pytest.approx(expected)


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (50, 50), (100, 99), (500, 495)])
def test_ninety_nine_of_a_hundred_waited_no_longer(number: int, expected: float) -> None:
    assert p99([float(value) for value in range(number, 0, -1)]) == expected

"""Quantities and durations, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import quantities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250m", 250),
        ("1", 1000),
        (2, 2000),
        ("0.5", 500),
        (".5", 500),
        ("1500u", 2),
        ("1e3", 1_000_000),
        ("1k", 1_000_000),
    ],
)
def test_millicores(text: str, expected: int) -> None:
    assert quantities.millicores(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("512Mi", 512 * 2**20), ("10Gi", 10 * 2**30), ("1M", 10**6), ("1e3", 1000), ("1.5Ki", 1536)]
)
def test_bytes(text: str, expected: int) -> None:
    assert quantities.count_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1GiB", "abc", "1e", "--1"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantities.count_bytes(text)


@pytest.mark.parametrize(("text", "expected"), [("500ms", 500), ("30s", 30_000), ("1m30s", 90_000), ("1h", 3_600_000)])
def test_milliseconds(text: str, expected: int) -> None:
    assert quantities.milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "30", "s", "1m 30s", "30s!"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        quantities.milliseconds(text)


@given(st.integers(1, 10**9))
def test_cpu_reads_back(value: int) -> None:
    assert quantities.millicores(quantities.cpu(value)) == value


@given(st.integers(0, 2**62))
def test_memory_reads_back(value: int) -> None:
    assert quantities.count_bytes(quantities.memory(value)) == value


def test_spelling_is_the_api_servers() -> None:
    assert [quantities.cpu(value) for value in (250, 1000, 1500)] == ["250m", "1", "1500m"]
    assert [quantities.memory(value) for value in (2**30, 1536 * 2**20, 1000)] == ["1Gi", "1536Mi", "1000"]

"""The chart's setup program waits for a CRD at every stage of its life."""

from __future__ import annotations

import pytest

from tests.cluster.platform import load_setup


@pytest.mark.parametrize(
    ("crd", "served"),
    [
        (None, False),
        ({}, False),
        ({"status": {"conditions": None}}, False),
        ({"status": {"conditions": [{"type": "Established", "status": "False"}]}}, False),
        ({"status": {"conditions": [{"type": "Established", "status": "True"}]}}, True),
    ],
)
def test_a_crd_is_served_once_it_says_so(crd: dict[str, object] | None, served: bool) -> None:
    assert load_setup().is_established(crd) is served

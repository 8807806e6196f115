"""What the costs of cold requests allow at most."""

from __future__ import annotations

import pytest

from tests.bench.opening import Cost, missed_at_best, share_at_most


def test_by_zipfs_law_the_companies_that_ask_most_take_most_of_the_connections_use() -> None:
    assert missed_at_best(2, 4) == pytest.approx((1 / 3 + 1 / 4) / (1 + 1 / 2 + 1 / 3 + 1 / 4))
    assert missed_at_best(4, 4) == 0


def test_the_busier_core_says_how_many_requests_there_can_be() -> None:
    warm, cold = Cost(app=2.0, postgres=1.0), Cost(app=3.0, postgres=11.0)
    assert share_at_most(warm, cold, 0.0) == 1
    assert share_at_most(warm, cold, 0.1) == pytest.approx(2 / 2.1)
    assert share_at_most(warm, cold, 0.5) == pytest.approx(2 / 6)

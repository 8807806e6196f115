"""The reader of expressions misses no metric and no label, or the checks that stand on it would see nothing."""

from __future__ import annotations

import pytest

from tests.chart.promql import named, values


@pytest.mark.parametrize(
    ("expression", "metrics", "matched", "grouped"),
    [
        ("absent(a_b)", {"a_b"}, set(), set()),
        ('sum by (x, y) (rate(a{b="c",d!~"e, f{2}"}[5m])) > 0.2', {"a"}, {("a", "b"), ("a", "d")}, {"x", "y"}),
        ("a offset 10m unless on (n) b == 1", {"a", "b"}, set(), {"n"}),
        ("histogram_quantile(0.95, sum by (le) (rate(a_bucket[5m])))", {"a_bucket"}, set(), {"le"}),
        ("a * on (i) group_left (n) max by (i, n) (b{})", {"a", "b"}, set(), {"i", "n"}),
        ("min_over_time(max by (t) (q)[15m:1m]) > 1e3", {"q"}, set(), {"t"}),
    ],
)
def test_it_finds_what_is_named(
    expression: str, metrics: set[str], matched: set[tuple[str, str]], grouped: set[str]
) -> None:
    found = named(expression)
    assert (set(found.metrics), set(found.matched), set(found.grouped)) == (metrics, matched, grouped)


def test_it_finds_the_words_that_are_matched_on() -> None:
    assert values('a{b="C",d=~"E|F",g!~"5..",h!=""} > 1') == {("b", "C"), ("d", "E"), ("d", "F")}

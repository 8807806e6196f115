"""docs/reference/metrics.md says what the code exports, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from hack import reference


def test_the_page_is_current() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run make reference"


def test_every_metric_of_both_programs_has_a_row() -> None:
    text = reference.PAGE.read_text()
    for family in [*reference.of_operator(), *reference.of_app()]:
        assert f"`{family.name}" in text


def test_a_metric_is_named_as_a_query_finds_it() -> None:
    registry = CollectorRegistry()
    Counter("jobs", "Jobs.", ["kind"], registry=registry)
    Histogram("wait_seconds", "Waits.", registry=registry)
    counter, histogram = reference.families(registry)
    assert (counter.series, counter.labels) == (("jobs_total",), ("kind",))
    assert histogram.series == ("wait_seconds_bucket", "wait_seconds_sum", "wait_seconds_count")


def test_a_page_that_is_behind_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "PAGE", tmp_path / "reference" / "metrics.md")
    assert reference.main(["--check"]) == 1
    assert "run make reference" in capsys.readouterr().out
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0

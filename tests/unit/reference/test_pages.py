"""docs/reference says what the code says, no more and no less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from hack.reference import FOLDER, __main__, metrics, resources

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["metrics.md", "resources.md"])
def test_the_page_is_current(name: str) -> None:
    assert (FOLDER / name).read_text() == __main__.pages()[name], "run make reference"


def test_every_metric_of_both_programs_has_a_row() -> None:
    text = (FOLDER / "metrics.md").read_text()
    for family in [*metrics.of_operator(), *metrics.of_app()]:
        assert f"`{family.name}" in text


def test_a_metric_is_named_as_a_query_finds_it() -> None:
    registry = CollectorRegistry()
    Counter("jobs", "Jobs.", ["kind"], registry=registry)
    Histogram("wait_seconds", "Waits.", registry=registry)
    counter, histogram = metrics.families(registry)
    assert (counter.series, counter.labels) == (("jobs_total", "jobs_created"), ("kind",))
    assert histogram.series == ("wait_seconds_bucket", "wait_seconds_sum", "wait_seconds_count", "wait_seconds_created")


@pytest.mark.parametrize(
    "row",
    [
        "| `spec.slug` | string |",
        "| `spec.state` | `Active` \\| `ReadOnly` \\| `Suspended` | `Active` |",
        "| `spec.admin.email` | string | required |",
        "| `spec.domains[].host` | string | required |",
    ],
)
def test_a_field_has_a_row_with_its_type_and_default(row: str) -> None:
    assert row in resources.page()


def test_a_page_that_is_behind_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--check"], tmp_path) == 1
    assert "run make reference" in capsys.readouterr().out
    assert __main__.main([], tmp_path) == 0
    assert __main__.main(["--check"], tmp_path) == 0

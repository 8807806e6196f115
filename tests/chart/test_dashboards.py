"""Every panel of every dashboard asks for what is exported, in a form Prometheus takes, and Grafana finds the files."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from itertools import combinations as pairs
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.chart.conftest import DOMAIN
from tests.chart.known import WRITTEN_BY_SCRAPING, is_said_by_the_code, labels_of, series_of_both_programs
from tests.chart.pods import of_kind
from tests.chart.promql import named, values
from tests.cluster.helm import CHART, Helm

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
FILES = sorted((CHART / "files" / "dashboards").glob("*.json"))
BOARDS: dict[str, Json] = {path.stem: json.loads(path.read_text()) for path in FILES}
GRAFANAS = {"__rate_interval": "5m", "datasource": "prometheus"}


@dataclass(frozen=True)
class Query:
    """One expression of a panel, and what its legend shows."""

    board: str
    panel: str
    expression: str
    legend: str

    @property
    def plain(self) -> str:
        """As Prometheus gets it."""
        return re.sub(r"\$\{?(\w+)\}?", lambda match: GRAFANAS.get(match[1], "x"), self.expression)


QUERIES = [
    Query(name, panel["title"], target["expr"], target["legendFormat"])
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", [])
]
ids = [f"{query.board}: {query.panel}" for query in QUERIES]


def test_there_are_three() -> None:
    assert set(BOARDS) == {"fleet", "tenant", "operator"}
    assert all(sum(query.board == name for query in QUERIES) >= 12 for name in BOARDS)
    assert len({board["uid"] for board in BOARDS.values()}) == 3


@pytest.mark.parametrize("board", BOARDS)
def test_prometheus_takes_every_expression(tmp_path: Path, board: str) -> None:
    rules = [
        {"record": f"query_{number}", "expr": query.plain}
        for number, query in enumerate(QUERIES)
        if query.board == board
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout


@pytest.mark.parametrize("query", QUERIES, ids=ids)
def test_it_asks_for_what_is_exported(query: Query) -> None:
    found = named(query.plain)
    assert found.metrics
    assert found.metrics <= series_of_both_programs()
    for metric, label in found.matched:
        assert label in labels_of(metric), f"{metric} has no label {label}"
    everything = {label for metric in found.metrics for label in labels_of(metric)}
    assert found.grouped <= everything | WRITTEN_BY_SCRAPING
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= found.grouped
    for label, word in values(query.expression):
        assert is_said_by_the_code(word), f"nothing sets {label} to {word}"


#: Values of labels in a made-up installation; every other label is x, as are the dashboards' choices.
VALUES = {
    "pod": ("a", "b"),
    "status_code": ("200", "404", "500"),
    "phase": ("Degraded",),
    "condition": ("Ready",),
    "status": ("False",),
    "result": ("ok", "error"),
    "le": ("0.1", "+Inf"),
}


def made_up() -> list[Json]:
    """Return each series that is exported, moving."""
    series = []
    for metric in sorted(series_of_both_programs()):
        labels = sorted(labels_of(metric))
        for chosen in product(*(VALUES.get(label, ("x",)) for label in labels)):
            written = ",".join(f'{label}="{value}"' for label, value in zip(labels, chosen, strict=True))
            series.append({"series": f"{metric}{{{written}}}", "values": "0+60x15"})
    return series


@pytest.mark.parametrize("board", BOARDS)
def test_every_panel_shows_something(tmp_path: Path, board: str) -> None:
    """Where there is something to show; what matches nothing, or too much, fails here and not in Grafana."""
    asked = [
        {"expr": f"count({query.plain}) > bool 0", "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for query in QUERIES
        if query.board == board
    ]
    test = {"interval": "1m", "input_series": made_up(), "promql_expr_test": asked}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "test.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("query", QUERIES, ids=ids)
def test_it_looks_at_one_installation(query: Query) -> None:
    for selected in named(query.expression).metrics:
        assert len(re.findall(rf"\b{selected}\b", query.expression)) == len(
            re.findall(rf'\b{selected}\{{[^}}]*namespace="\$namespace"', query.expression)
        )


@pytest.mark.parametrize("name", BOARDS)
def test_its_choices_are_filled_from_what_is_exported(name: str) -> None:
    variables = {item["name"]: item for item in BOARDS[name]["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(BOARDS[name])))
    assert used - {"__rate_interval"} == set(variables)
    for variable in variables.values():
        if variable["type"] != "query":
            continue
        filled = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["query"]["query"])
        assert filled is not None
        assert filled[2] in labels_of(filled[1])


@pytest.mark.parametrize("name", BOARDS)
def test_panels_are_told_apart_and_do_not_overlap(name: str) -> None:
    panels = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in pairs((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def dashboards(objects: list[Json]) -> list[Json]:
    return [item for item in of_kind(objects, "ConfigMap") if "-dashboard-" in item["metadata"]["name"]]


def test_grafanas_sidecar_finds_them(renderer: Helm) -> None:
    chosen = {"enabled": True, "annotations": {"grafana_folder": "HOA Connect"}}
    found = dashboards(renderer.render({**DOMAIN, "monitoring": {"dashboards": chosen}}))
    assert {item["metadata"]["name"] for item in found} == {f"hoa-connect-dashboard-{name}" for name in BOARDS}
    for item in found:
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert item["metadata"]["annotations"] == {"grafana_folder": "HOA Connect"}
        [(file, text)] = item["data"].items()
        assert json.loads(text) == BOARDS[file.removeprefix("hoa-connect-").removesuffix(".json")]


def test_none_are_made_unasked(default_objects: list[Json]) -> None:
    assert dashboards(default_objects) == []

"""Every alert fires on the series it is for and on no others, says it in words, and leads to a runbook that exists."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.chart.conftest import DOMAIN, PROMETHEUS_RULE
from tests.chart.known import WRITTEN_BY_SCRAPING, is_said_by_the_code, labels_of, series_of_both_programs
from tests.chart.pods import of_kind
from tests.chart.promql import named, values
from tests.cluster.helm import CHART, Helm, HelmError
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]
CASES: dict[str, Json] = yaml.safe_load((REPOSITORY / "tests" / "chart" / "alerts.yaml").read_text())
SOURCES = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "files" / "alerts").glob("*.yaml"))]
ALERTS = [rule["alert"] for source in SOURCES for rule in source["rules"]]
RUNBOOKS = REPOSITORY / "docs" / "operations"
FIRING = [
    (alert, reason, given)
    for alert, case in CASES.items()
    for reason, given in {"as a rule": case["fires"], **case.get("again", {})}.items()
]
QUIET = [(alert, reason) for alert, case in CASES.items() for reason in case["quiet"]]


def monitoring(**alerts: Any) -> Json:
    return {**DOMAIN, "monitoring": {"alerts": alerts}}


@pytest.fixture(scope="module")
def file(renderer: Helm) -> str:
    """The rules file as the chart renders it."""
    [config] = [
        item for item in of_kind(renderer.render(monitoring(configMap=True)), "ConfigMap") if named_alerts(item)
    ]
    text: str = config["data"]["hoa-connect.rules.yaml"]
    return text


@pytest.fixture(scope="module")
def rules(file: str) -> dict[str, Json]:
    """Every rule of the rendered file by its alert."""
    return {rule["alert"]: rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]}


def named_alerts(item: Json) -> bool:
    name: str = item["metadata"]["name"]
    return name.endswith("-alerts")


def promtool(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trial(folder: Path, file: str, alert: str, given: Json, expected: list[Json]) -> None:
    """Let promtool play the series and compare what fires, labels and texts included."""
    (folder / "rules.yaml").write_text(file)
    every, at = given.get("every", "1m"), given["at"]
    test = {
        "interval": every,
        "input_series": [{"series": name, "values": str(values)} for name, values in given["series"].items()],
        "alert_rule_test": [
            {"alertname": alert, "eval_time": f"{round(60 * minutes)}s", "exp_alerts": expected}
            for minutes in (at if isinstance(at, list) else [at])
        ],
    }
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": [test]}
    (folder / "test.yaml").write_text(yaml.safe_dump(whole))
    promtool(folder, "test", "rules", "test.yaml")


def spoken(text: str, labels: dict[str, str]) -> str:
    """Put labels into a text that holds nothing else to be put in."""
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)


def test_prometheus_takes_the_file(file: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(file)
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool(tmp_path, "check", "rules", "rules.yaml")


def test_every_alert_is_tried_and_has_a_runbook() -> None:
    assert sorted(CASES) == sorted(ALERTS)
    assert {path.stem for path in RUNBOOKS.glob("HOA*.md")} == set(ALERTS)


@pytest.mark.parametrize(
    ("alert", "case"),
    [(alert, case) for alert, _, case in FIRING],
    ids=[f"{alert}: {reason}" for alert, reason, _ in FIRING],
)
def test_it_fires(file: str, rules: dict[str, Json], tmp_path: Path, alert: str, case: Json) -> None:
    rule = rules[alert]
    expected = [
        {
            "exp_labels": {**labels, "severity": rule["labels"]["severity"]},
            "exp_annotations": {
                "summary": summary,
                "description": spoken(rule["annotations"]["description"], labels),
                "runbook": f"docs/operations/{alert}.md",
                "runbook_url": f"http://hoa-connect-operator.hoa-connect.svc:9090/runbooks/{alert}.md",
            },
        }
        for labels, summary in zip(case["labels"], case["summary"], strict=True)
    ]
    trial(tmp_path, file, alert, case, expected)


@pytest.mark.parametrize(("alert", "reason"), QUIET, ids=[f"{alert}: {reason}" for alert, reason in QUIET])
def test_it_keeps_quiet(file: str, tmp_path: Path, alert: str, reason: str) -> None:
    trial(tmp_path, file, alert, CASES[alert]["quiet"][reason], [])


@pytest.mark.parametrize("alert", ALERTS)
def test_it_stands_on_metrics_and_labels_that_are_exported(rules: dict[str, Json], alert: str) -> None:
    found = named(rules[alert]["expr"])
    assert found.metrics
    assert found.metrics <= series_of_both_programs()
    for metric, label in found.matched:
        assert label in labels_of(metric), f"{metric} has no label {label}"
    everything = {label for metric in found.metrics for label in labels_of(metric)}
    assert found.grouped <= everything | WRITTEN_BY_SCRAPING


@pytest.mark.parametrize("alert", ALERTS)
def test_it_waits_for_words_that_the_programs_say(rules: dict[str, Json], alert: str) -> None:
    for label, word in values(rules[alert]["expr"]):
        assert is_said_by_the_code(word), f"nothing sets {label} to {word}"


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_says_what_it_means_where_to_look_and_what_to_do(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["What it means", "What to look at", "What to do"]
    assert f"[{alert}]({alert}.md)" in (RUNBOOKS / "README.md").read_text()
    for linked in re.findall(r"\]\(([^)#]+)\)", text):
        assert (RUNBOOKS / linked).exists(), linked


def test_severities_are_two(rules: dict[str, Json]) -> None:
    assert {rule["labels"]["severity"] for rule in rules.values()} == {"critical", "warning"}


def test_the_prometheus_operators_kind_holds_the_same(renderer: Helm, file: str) -> None:
    values = monitoring(enabled=True, labels={"release": "prometheus"})
    [rule] = of_kind(renderer.render(values, kinds=[PROMETHEUS_RULE]), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(file)
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_a_cluster_without_that_kind_gets_none(renderer: Helm) -> None:
    assert of_kind(renderer.render(monitoring(enabled=True)), "PrometheusRule") == []


def test_nothing_is_made_unasked(renderer: Helm) -> None:
    objects = renderer.render(DOMAIN, kinds=[PROMETHEUS_RULE])
    assert of_kind(objects, "PrometheusRule") == []
    assert not any(named_alerts(item) for item in of_kind(objects, "ConfigMap"))


def test_values_move_the_limit_the_links_and_the_choice(renderer: Helm) -> None:
    chosen = {"databaseConnections": 80, "runbookBaseURL": "https://docs.example/run", "without": ["HOASlowAnswers"]}
    [rule] = of_kind(renderer.render(monitoring(enabled=True, **chosen), kinds=[PROMETHEUS_RULE]), "PrometheusRule")
    found = {item["alert"]: item for group in rule["spec"]["groups"] for item in group["rules"]}
    assert set(found) == set(ALERTS) - {"HOASlowAnswers"}
    assert found["HOADatabaseConnections"]["expr"].endswith("> 80")
    annotations = found["HOAMailStuck"]["annotations"]
    assert annotations["runbook_url"] == "https://docs.example/run/HOAMailStuck.md"
    assert annotations["runbook"] == "docs/operations/HOAMailStuck.md"


def test_an_unknown_alert_cannot_be_left_out(renderer: Helm) -> None:
    with pytest.raises(HelmError, match="there is no alert HOASlow; there are HOAClientErrors, HOAServerErrors"):
        renderer.render(monitoring(configMap=True, without=["HOASlow"]))

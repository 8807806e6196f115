"""Every link that an alert carries by default leads to its runbook: through the Service, in at the door, to the page itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from hoa_operator import probes
from hoa_operator.settings import Settings
from tests.chart.conftest import DOMAIN
from tests.chart.pods import environment, of_kind, selects
from tests.cluster.helm import one
from tests.processes import free_port
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chart.conftest import Rendered
    from tests.cluster.helm import Helm

RUNBOOKS = REPOSITORY / "docs" / "operations"
OPERATOR = "hoa-connect-operator"


@pytest.fixture(scope="module")
def objects(renderer: Helm) -> Rendered:
    """The chart with its alerts, and nothing else chosen."""
    return renderer.render({**DOMAIN, "monitoring": {"alerts": {"configMap": True}}})


@pytest.fixture(scope="module")
def links(objects: Rendered) -> dict[str, str]:
    """Where each alert leads."""
    file = one(objects, "ConfigMap", "hoa-connect-alerts")["data"]["hoa-connect.rules.yaml"]
    rules: list[dict[str, Any]] = [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules}


@pytest.fixture
async def served() -> AsyncIterator[str]:
    """The operator's pages as its process serves them; gives where."""
    port = free_port()
    async with probes.serving("127.0.0.1", port, [probes.runbooks(RUNBOOKS)]):
        yield f"http://127.0.0.1:{port}"


async def test_each_link_leads_to_its_runbook(links: dict[str, str], served: str) -> None:
    assert set(links) == {path.stem for path in RUNBOOKS.glob("HOA*.md")}
    async with httpx.AsyncClient() as client:
        for alert, link in links.items():
            page = await client.get(served + urlsplit(link).path)
            assert (page.status_code, page.text) == (200, (RUNBOOKS / f"{alert}.md").read_text())
            assert page.text.startswith(f"# {alert}\n")
            assert page.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_links_lead_to_the_port_that_the_operator_serves_them_on(objects: Rendered, links: dict[str, str]) -> None:
    [address] = {urlsplit(link).netloc for link in links.values()}
    service = one(objects, "Service", OPERATOR)
    pod = one(objects, "Deployment", OPERATOR)["spec"]["template"]
    [port] = [port for port in service["spec"]["ports"] if port["name"] == "metrics"]
    [behind] = [found for found in pod["spec"]["containers"][0]["ports"] if found["name"] == port["targetPort"]]
    metadata = service["metadata"]
    assert address == f"{metadata['name']}.{metadata['namespace']}.svc:{port['port']}"
    assert selects({"matchLabels": service["spec"]["selector"]}, pod["metadata"]["labels"])
    assert behind["containerPort"] == Settings.from_env(environment(objects, OPERATOR)).metrics_port


def test_prometheus_and_its_neighbours_may_follow_them(objects: Rendered) -> None:
    policy = one(objects, "NetworkPolicy", OPERATOR)["spec"]["ingress"]
    [peers] = [rule["from"] for rule in policy if {"protocol": "TCP", "port": 9090} in rule["ports"]]
    assert peers == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_an_alert_of_another_release_leads_to_that_one(renderer: Helm) -> None:
    values = {**DOMAIN, "monitoring": {"alerts": {"configMap": True}}}
    rendered = renderer.render(values, release="blue", namespace="companies")
    [rules] = [item for item in of_kind(rendered, "ConfigMap") if item["metadata"]["name"] == "blue-alerts"]
    assert "http://blue-operator.companies.svc:9090/runbooks/HOAMailStuck.md" in str(rules["data"])


def test_the_image_has_them_where_the_operator_looks() -> None:
    lines = (REPOSITORY / "operator" / "Dockerfile").read_text().splitlines()
    copied = dict(line.split()[1:3] for line in lines if line.startswith("COPY ") and "--from" not in line)
    assert copied["operator/hoa_operator"] == "/opt/hoa/hoa_operator"
    assert copied["docs/operations"] == f"/opt/hoa/{probes.RUNBOOKS.name}"
    assert probes.RUNBOOKS.parent == REPOSITORY / "operator"


@pytest.mark.parametrize(
    "asked", ["../Dockerfile", "%2e%2e%2fDockerfile", "..%2FREADME.md", "%2Fetc%2Fpasswd", "HOANone.md"]
)
async def test_nothing_else_can_be_had(served: str, asked: str) -> None:
    async with httpx.AsyncClient() as client:
        page = await client.get(f"{served}/runbooks/{asked}")
    assert page.status_code == 404
    assert "root:" not in page.text
    assert "FROM" not in page.text
    if asked == "HOANone.md":
        assert "/runbooks/HOAMailStuck.md" in page.text


async def test_an_image_without_them_says_so(tmp_path: Path) -> None:
    port = free_port()
    async with probes.serving("127.0.0.1", port, [probes.runbooks(tmp_path / "none")]), httpx.AsyncClient() as client:
        page = await client.get(f"http://127.0.0.1:{port}/runbooks/HOAMailStuck.md")
    assert (page.status_code, "built without docs/operations" in page.text) == (404, True)

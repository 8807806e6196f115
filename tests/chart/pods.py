"""Finding pods in rendered objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.cluster.helm import one

Json = dict[str, Any]


@dataclass(frozen=True)
class PodTemplate:
    """A pod that some object of the chart makes."""

    owner: str
    kind: str
    labels: dict[str, str]
    spec: Json

    @property
    def component(self) -> str:
        """Which part of the installation it is."""
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Json]:
        """All its containers."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def long_running(self) -> bool:
        """Whether it serves, rather than ends."""
        return self.kind in ("Deployment", "StatefulSet")


def pods(objects: list[Json]) -> list[PodTemplate]:
    """Return every pod that the objects make."""
    found = []
    for item in objects:
        owner = f"{item['kind']}/{item['metadata']['name']}"
        if item["kind"] == "Pod":
            found.append(PodTemplate(owner, item["kind"], item["metadata"]["labels"], item["spec"]))
        elif "template" in item.get("spec", {}):
            template = item["spec"]["template"]
            found.append(PodTemplate(owner, item["kind"], template["metadata"]["labels"], template["spec"]))
    return found


def selects(selector: Json, labels: dict[str, str]) -> bool:
    """Whether a label selector of equalities selects these labels."""
    assert set(selector) <= {"matchLabels"}, selector
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def of_kind(objects: list[Json], kind: str) -> list[Json]:
    """Return the objects of a kind."""
    return [item for item in objects if item["kind"] == kind]


def environment(objects: list[Json], deployment: str) -> dict[str, str]:
    """Return the environment of a deployment's only container."""
    container = one(objects, "Deployment", deployment)["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", "from-the-pod") for entry in container["env"]}


def moved(objects: list[Json], namespace: str) -> list[Json]:
    """Return the objects as they are for another namespace."""
    text = json.dumps(objects).replace('"namespace": "hoa-connect"', f'"namespace": "{namespace}"')
    found: list[Json] = json.loads(text)
    return found

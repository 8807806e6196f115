"""Helm as the tests use it, with the chart of this repository."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CHART = REPOSITORY / "charts" / "hoa-connect"
KUBERNETES_VERSION = "1.34.4"
Json = dict[str, Any]


class HelmError(Exception):
    """Helm refused; the text is what a person would read."""


@dataclass(frozen=True)
class Helm:
    """Runs helm, against a cluster where a kubeconfig is given."""

    program: Path
    home: Path
    kubeconfig: Path | None = None

    @cached_property
    def _env(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.home),
            "KUBECONFIG": str(self.kubeconfig or self.home / "none"),
        }

    def __call__(self, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
        """Run helm and return what it printed; raise HelmError with its words when it fails."""
        given = ["--values", "-"] if values is not None else []
        done = subprocess.run(
            [str(self.program), *arguments, *given],
            input=None if values is None else json.dumps(values),
            capture_output=True,
            text=True,
            check=False,
            env=self._env,
            cwd=self.home,
        )
        if done.returncode:
            raise HelmError(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def render(
        self,
        values: Mapping[str, Any],
        release: str = "hoa-connect",
        namespace: str = "hoa-connect",
        kinds: Sequence[str] = (),
        chart: Path = CHART,
    ) -> list[Json]:
        """Return every object that the chart renders for these values, hooks included, CRDs not.

        `kinds` are those the cluster knows beyond Kubernetes' own, such as example.com/v1/Thing.
        """
        text = self(
            "template",
            release,
            str(chart),
            f"--namespace={namespace}",
            f"--kube-version={KUBERNETES_VERSION}",
            *(f"--api-versions={kind}" for kind in kinds),
            values=values,
        )
        return [document for document in yaml.safe_load_all(text) if document]


def one(objects: list[Json], kind: str, name: str) -> Json:
    """Return the object of that kind and name; there must be exactly one."""
    found = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} objects {kind}/{name}"
    return found[0]

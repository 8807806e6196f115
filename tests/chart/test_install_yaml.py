"""manifests/install.yaml: current, and complete for someone who has kubectl alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import yaml

from tests.chart.pods import moved, of_kind
from tests.programs import REPOSITORY

if TYPE_CHECKING:
    from tests.cluster.helm import Helm
    from tests.cluster.jobs import JobRunner
    from tests.cluster.kubectl import Kubectl

PATH = REPOSITORY / "manifests" / "install.yaml"


def test_it_is_what_the_chart_renders(renderer: Helm) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "charts" / "render.py"), f"--helm={renderer.program}", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_holds_no_secret_and_no_hook() -> None:
    text = PATH.read_text()
    assert "helm.sh/hook" not in text
    assert of_kind([document for document in yaml.safe_load_all(text) if document], "Secret") == []


def test_kubectl_alone_installs_it(kubectl: Kubectl, job_runner: JobRunner) -> None:
    job_runner.heal()
    objects = [document for document in yaml.safe_load_all(PATH.read_text()) if document["kind"] != "Namespace"]
    objects = moved(objects, kubectl.namespace)
    plan = next(item for item in of_kind(objects, "ConfigMap") if item["metadata"]["name"] == "hoa-connect-setup")
    secrets = json.loads(plan["data"]["secrets.json"])
    plan["data"]["secrets.json"] = json.dumps({**secrets, "namespace": kubectl.namespace})
    kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))
    kubectl("wait", "--for=condition=Complete", "--timeout=60s", "job/hoa-connect-setup")
    for name in ("postgres-admin", "postgres-tls", "registry", "registry-reader", "sealing-keys"):
        assert kubectl.find("secret", f"hoa-connect-{name}") is not None
    assert len(kubectl.list("hoatiers")) == 4

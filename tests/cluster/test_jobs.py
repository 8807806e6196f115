"""The runner of Jobs plays the kubelet truly enough: the job controller's own verdicts follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.jobs import Fault
from tests.overlay import HEAD, NEXT, make_release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.jobs import JobRunner
    from tests.cluster.kubectl import JSON, Kubectl

SCRIPT = (
    "import os, pathlib; "
    "pathlib.Path(os.environ['HOA_TERMINATION_LOG']).write_text(os.environ['WORD'] + os.environ['PGUSER'])"
)


def job(name: str, **spec: Any) -> JSON:
    container = {
        "name": "migrate",
        "image": "hoa-connect/app:dev",
        "command": ["python", "-c", SCRIPT],
        "envFrom": [{"secretRef": {"name": "login"}}],
        "env": [{"name": "WORD", "value": "hello "}],
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}, **spec},
    }


def secret() -> JSON:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"PGUSER": "maria"}}


def condition(kind: str) -> Any:
    return lambda found: any(
        entry["type"] == kind and entry["status"] == "True" for entry in found["status"].get("conditions", [])
    )


def message(kubectl: Kubectl, name: str) -> tuple[int, str]:
    pod = kubectl.list("pods", "-l", f"batch.kubernetes.io/job-name={name}")[0]
    ended: JSON = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return ended["exitCode"], ended.get("message", "")


def test_a_job_runs_its_real_command_with_its_secret(kubectl: Kubectl, job_runner: JobRunner) -> None:
    kubectl.apply(secret())
    kubectl.apply(job("real"))
    kubectl.wait_for("job", "real", condition("Complete"))
    assert message(kubectl, "real") == (0, "hello maria")
    assert job_runner.runs_in(kubectl.namespace) == [f"{kubectl.namespace}/real"]


def test_a_job_waits_for_its_secret(kubectl: Kubectl, job_runner: JobRunner) -> None:
    kubectl.apply(job("waits"))
    kubectl.wait_for("job", "waits", lambda found: found["status"].get("active") == 1)
    kubectl.apply(secret())
    kubectl.wait_for("job", "waits", condition("Complete"))


def test_a_job_runs_the_code_of_its_image(kubectl: Kubectl, job_runner: JobRunner, tmp_path: Path) -> None:
    later = job_runner.offer(make_release(tmp_path, "expand", "expand-of-a-job"))
    script = "import os, pathlib; from hoa_app.migrations import serving; p = pathlib.Path(os.environ['HOA_TERMINATION_LOG']); "
    script += "p.write_text(serving.known_revisions()[-1])"
    for name, image in (("now", "hoa-connect/app:dev"), ("later", later.image)):
        container = {"name": "migrate", "image": image, "command": ["python", "-c", script]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        kubectl.apply(job(f"image-{name}", template=template))
        kubectl.wait_for("job", f"image-{name}", condition("Complete"))
    assert message(kubectl, "image-now") == (0, HEAD)
    assert message(kubectl, "image-later") == (0, NEXT)


def test_a_fault_fails_a_job_as_often_as_it_says(kubectl: Kubectl, job_runner: JobRunner) -> None:
    kubectl.apply(secret())
    job_runner.inject(Fault(job="fails", namespace=kubectl.namespace, exit_code=2, message="no way"))
    kubectl.apply(job("fails"))
    kubectl.wait_for("job", "fails", condition("Failed"))
    assert message(kubectl, "fails") == (2, "no way")
    kubectl.apply(job("fails-no-more"))
    kubectl.wait_for("job", "fails-no-more", condition("Complete"))


def test_a_job_that_hangs_is_ended_at_its_deadline(kubectl: Kubectl, job_runner: JobRunner) -> None:
    kubectl.apply(secret())
    job_runner.inject(Fault(job="hangs", namespace=kubectl.namespace, hang=True))
    kubectl.apply(job("hangs", activeDeadlineSeconds=1))
    found = kubectl.wait_for("job", "hangs", condition("Failed"))
    assert found["status"]["conditions"][-1]["reason"] == "DeadlineExceeded"


def test_an_image_that_cannot_be_pulled_shows_in_the_pod(kubectl: Kubectl, job_runner: JobRunner) -> None:
    kubectl.apply(secret())
    job_runner.inject(Fault(job="unpulled", namespace=kubectl.namespace, image_pull_error=True))
    kubectl.apply(job("unpulled"))
    kubectl.wait_for("job", "unpulled", lambda found: found["status"].get("active") == 1)
    name = kubectl.list("pods", "-l", "batch.kubernetes.io/job-name=unpulled")[0]["metadata"]["name"]
    found = kubectl.wait_for("pod", name, lambda pod: "containerStatuses" in pod["status"])
    assert found["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull"
    job_runner.heal()
    kubectl.wait_for("job", "unpulled", condition("Complete"))

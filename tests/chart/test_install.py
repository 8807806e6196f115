"""The chart's whole life on a real API server, its Jobs run for real: install, upgrade, uninstall, install again."""

from __future__ import annotations

import base64
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.fernet import Fernet

from tests.chart.conftest import DOMAIN
from tests.cluster.helm import CHART, Helm, HelmError
from tests.cluster.jobs import Fault
from tests.cluster.kubectl import KubectlError
from tests.cluster.platform import tenant
from tests.programs import REPOSITORY
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.jobs import JobRunner
    from tests.cluster.kubectl import Kubectl

RELEASE = "hoa-connect"
MADE_SECRETS = [
    "hoa-connect-postgres-admin",
    "hoa-connect-postgres-tls",
    "hoa-connect-registry",
    "hoa-connect-registry-reader",
    "hoa-connect-sealing-keys",
]
FINALIZER = "hoaconnect.com/teardown"


class Installation:
    """The chart in one namespace."""

    def __init__(self, helm: Helm, kubectl: Kubectl) -> None:
        self.helm = helm
        self.kubectl = kubectl

    def install(self, values: dict[str, Any] | None = None) -> str:
        return self._helm("install", str(CHART), values=values or DOMAIN)

    def upgrade(self, values: dict[str, Any] | None = None) -> str:
        return self._helm("upgrade", str(CHART), values=values or DOMAIN)

    def uninstall(self) -> str:
        return self._helm("uninstall")

    def secret(self, name: str) -> dict[str, str]:
        data = self.kubectl.get("secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def _helm(self, verb: str, *more: str, values: dict[str, Any] | None = None) -> str:
        return self.helm(verb, RELEASE, *more, f"--namespace={self.kubectl.namespace}", "--timeout=60s", values=values)


@pytest.fixture
def installation(helm: Helm, kubectl: Kubectl, job_runner: JobRunner) -> Iterator[Installation]:
    """Not installed yet; what is left of it afterwards is removed."""
    job_runner.heal()
    installation = Installation(helm, kubectl)
    yield installation
    if f"{RELEASE}\t" in helm("list", f"--namespace={kubectl.namespace}"):
        installation.uninstall()


def test_an_installation_brings_what_the_next_command_needs(installation: Installation) -> None:
    notes = installation.install()
    kubectl = installation.kubectl
    assert "get hoat -w" in notes
    assert f"kubectl -n {kubectl.namespace} apply -f -" in notes
    assert " --reset-then-reuse-values --set mail.smtpUrl=" in notes
    assert "put its addresses into networkPolicies.postgresCIDRs" in notes
    assert (
        sorted(item["metadata"]["name"] for item in kubectl.list("secret", "--field-selector=type!=helm.sh/release.v1"))
        == MADE_SECRETS
    )
    assert [item["metadata"]["name"] for item in kubectl.list("hoatiers")] == ["enterprise", "large", "medium", "small"]
    assert kubectl.get("hoads", "default")["spec"]["endpoint"] == {
        "host": f"hoa-connect-postgres.{kubectl.namespace}.svc",
        "port": 5432,
        "sslMode": "require",
    }
    assert kubectl.get("deployment", "hoa-connect-app")["spec"]["replicas"] == 3
    admin, registry = (installation.secret(f"hoa-connect-{name}") for name in ("postgres-admin", "registry"))
    assert registry["password"] == admin["password"]


def test_alerts_that_could_not_be_installed_are_told(installation: Installation) -> None:
    assert "No alerts were installed" not in installation.install()
    notes = installation.upgrade({**DOMAIN, "monitoring": {"alerts": {"enabled": True}}})
    assert "No alerts were installed: this cluster has no PrometheusRule." in notes


def test_nothing_of_the_setups_rights_is_left(installation: Installation) -> None:
    installation.install()
    assert rights_left(installation.kubectl, "hoa-connect-setup") == []
    assert installation.kubectl.find("job", "hoa-connect-setup") is None


def rights_left(kubectl: Kubectl, name: str) -> list[str]:
    """Return the kinds of rights of this name that exist, in the namespace and in the cluster."""
    kinds = dict.fromkeys(("serviceaccount", "role", "rolebinding"), name)
    kinds |= dict.fromkeys(("clusterrole", "clusterrolebinding"), f"{kubectl.namespace}-{name}")
    return [kind for kind, name in kinds.items() if kubectl.find(kind, name)]


def test_a_setup_that_fails_leaves_its_log_and_no_rights(installation: Installation, job_runner: JobRunner) -> None:
    installation.install()
    job_runner.inject(Fault(job="hoa-connect-setup", namespace=installation.kubectl.namespace, exit_code=2))
    with pytest.raises(HelmError, match="pre-upgrade hooks failed"):
        installation.upgrade()
    assert rights_left(installation.kubectl, "hoa-connect-setup") == []
    assert installation.kubectl.find("job", "hoa-connect-setup") is not None


def test_an_uninstall_that_fails_leaves_its_log_and_no_rights(
    installation: Installation, job_runner: JobRunner
) -> None:
    installation.install()
    job_runner.inject(Fault(job="hoa-connect-uninstall", namespace=installation.kubectl.namespace, exit_code=2))
    with pytest.raises(HelmError, match="job hoa-connect-uninstall failed"):
        installation.uninstall()
    assert rights_left(installation.kubectl, "hoa-connect-uninstall") == []
    assert installation.kubectl.find("job", "hoa-connect-uninstall") is not None


def test_an_upgrade_keeps_every_secret(installation: Installation) -> None:
    installation.install()
    before = {name: installation.secret(name) for name in MADE_SECRETS}
    installation.upgrade()
    assert {name: installation.secret(name) for name in MADE_SECRETS} == before


def test_an_upgrade_makes_again_what_was_lost_and_only_that(installation: Installation) -> None:
    installation.install()
    before = installation.secret("hoa-connect-sealing-keys")
    reader = installation.secret("hoa-connect-registry-reader")
    installation.kubectl.delete("secret", "hoa-connect-registry-reader")
    installation.upgrade()
    assert installation.secret("hoa-connect-sealing-keys") == before
    again = installation.secret("hoa-connect-registry-reader")
    assert again["username"] == reader["username"]
    assert again["password"] != reader["password"]


def test_a_lost_sealing_key_is_not_replaced_once_tenants_were_sealed_with_it(
    installation: Installation, job_runner: JobRunner
) -> None:
    installation.install()
    kubectl = installation.kubectl
    kubectl.apply(tenant("acme"))
    kubectl.delete("secret", "hoa-connect-sealing-keys")
    installation.upgrade()
    assert kubectl.find("secret", "hoa-connect-sealing-keys"), "no operator has looked at acme: nothing is sealed yet"
    kubectl.patch("hoat", "acme", {"status": {"phase": "Ready"}}, "--subresource=status")
    kubectl.delete("secret", "hoa-connect-sealing-keys")
    with pytest.raises(HelmError, match="pre-upgrade hooks failed"):
        installation.upgrade()
    assert kubectl.find("secret", "hoa-connect-sealing-keys") is None
    said = log_of(job_runner, kubectl, "setup")
    assert "the passwords of 1 tenant (acme) in the registry were sealed with it. Put it back from your copy" in said
    command = said.split("make a new one: ")[1].split(" and run this again")[0]
    words = ["kubectl", f"--kubeconfig={kubectl.kubeconfig}", command.removeprefix("kubectl ")]
    subprocess.run(["sh", "-c", f"{kubectl.program.parent}/{' '.join(words)}"], check=True)
    Fernet(installation.secret("hoa-connect-sealing-keys")["keys"])
    installation.upgrade()


def log_of(runner: JobRunner, kubectl: Kubectl, job: str) -> str:
    """Return what the last run of a Job of the chart said."""
    logs = runner.folder.glob(f"{kubectl.namespace}-hoa-connect-{job}-*.log")
    return max(logs, key=lambda file: file.stat().st_mtime).read_text()


def test_an_upgrade_takes_the_registry_to_another_address(installation: Installation) -> None:
    installation.install()
    before = installation.secret("hoa-connect-registry-reader")
    installation.upgrade({**DOMAIN, "postgres": {"tls": False}})
    after = installation.secret("hoa-connect-registry-reader")
    assert after == before | {"sslmode": "disable"}


def test_an_upgrade_leaves_the_autoscalers_number(installation: Installation) -> None:
    installation.install()
    installation.kubectl.patch("deployment", "hoa-connect-app", {"spec": {"replicas": 7}})
    installation.upgrade({**DOMAIN, "image": {"tag": "next"}})
    found = installation.kubectl.get("deployment", "hoa-connect-app")["spec"]
    assert found["replicas"] == 7
    assert found["template"]["spec"]["containers"][0]["image"] == "hoa-connect/app:next"


def test_an_upgrade_takes_old_crds_to_this_charts(installation: Installation) -> None:
    installation.install()
    kubectl = installation.kubectl
    kubectl.apply(tenant("acme"))
    older = yaml.safe_load((REPOSITORY / "crds" / "hoatenants.yaml").read_text())
    del older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["timeZone"]
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(older))
    kubectl.wait_for("hoat", "acme", lambda item: "timeZone" not in item["spec"])
    installation.upgrade()
    kubectl.wait_for("hoat", "acme", lambda item: item["spec"].get("timeZone") == "America/New_York")


def test_an_upgrade_without_the_right_to_change_crds_leaves_them(installation: Installation) -> None:
    without = {**DOMAIN, "setup": {"upgradeCRDs": False}}
    installation.install(without)
    kubectl = installation.kubectl
    before = kubectl.get("crd", "hoatenants.hoaconnect.com")["metadata"]["resourceVersion"]
    installation.upgrade(without)
    assert kubectl.get("crd", "hoatenants.hoaconnect.com")["metadata"]["resourceVersion"] == before


def test_a_setup_that_fails_stops_the_upgrade_before_anything_changes(
    installation: Installation, job_runner: JobRunner
) -> None:
    installation.install()
    job_runner.inject(Fault(job="hoa-connect-setup", namespace=installation.kubectl.namespace, exit_code=2))
    with pytest.raises(HelmError, match="pre-upgrade hooks failed"):
        installation.upgrade({**DOMAIN, "image": {"tag": "next"}})
    app = installation.kubectl.get("deployment", "hoa-connect-app")["spec"]["template"]["spec"]
    assert app["containers"][0]["image"] == "hoa-connect/app:0.1.0"


def test_an_external_server_without_its_secret_says_which(installation: Installation, job_runner: JobRunner) -> None:
    values = {**DOMAIN, "postgres": {"enabled": False, "existingSecret": "missing", "external": {"host": "db.example"}}}
    with pytest.raises(HelmError, match="pre-install"):
        installation.install(values)
    said = log_of(job_runner, installation.kubectl, "setup")
    assert "Secret missing with the key password does not exist; create it, then install again" in said


def test_an_uninstall_lets_go_of_tenants_and_keeps_all_data(installation: Installation) -> None:
    installation.install()
    kubectl = installation.kubectl
    kubectl.apply({**tenant("acme"), "metadata": {"name": "acme", "finalizers": [FINALIZER, "example.com/other"]}})
    installation.uninstall()
    assert kubectl.get("hoat", "acme")["metadata"]["finalizers"] == ["example.com/other"]
    assert kubectl.find("deployment", "hoa-connect-operator") is None
    assert kubectl.find("crd", "hoatenants.hoaconnect.com") is not None
    assert kubectl.find("pvc", "hoa-connect-files") is not None
    for name in MADE_SECRETS:
        assert kubectl.find("secret", name) is not None
    kubectl.patch("hoat", "acme", {"metadata": {"finalizers": None}})
    kubectl.delete("hoat", "acme", "--timeout=10s")


def test_an_uninstall_waits_for_the_operators_last_pod(installation: Installation) -> None:
    installation.install()
    kubectl = installation.kubectl
    selected = kubectl.get("deployment", "hoa-connect-operator")["spec"]["selector"]["matchLabels"]
    spec = {"containers": [{"name": "operator", "image": "operator"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "last", "labels": selected}, "spec": spec}
    kubectl.apply(pod, tenant("acme"))
    with ThreadPoolExecutor(1) as thread:
        uninstalled = thread.submit(installation.uninstall)
        until(lambda: kubectl.get("deployment", "hoa-connect-operator")["spec"]["replicas"] == 0, "the stop")
        # The pod ends, is counted no longer, and does what it has begun.
        until(lambda: not kubectl.get("deployment", "hoa-connect-operator")["status"].get("replicas"), "its pods' end")
        kubectl.patch("hoat", "acme", {"metadata": {"finalizers": [FINALIZER]}})
        kubectl.delete("pod", "last", "--force", "--grace-period=0")
        uninstalled.result()
    assert not kubectl.get("hoat", "acme")["metadata"].get("finalizers")
    kubectl.delete("hoat", "acme", "--timeout=10s")


def test_an_uninstall_waits_for_tenants_that_are_being_deleted(
    installation: Installation, job_runner: JobRunner
) -> None:
    installation.install()
    kubectl = installation.kubectl
    kubectl.apply({**tenant("acme"), "metadata": {"name": "acme", "finalizers": [FINALIZER]}}, tenant("beta"))
    kubectl.delete("hoat", "acme", "--wait=false")
    with pytest.raises(HelmError, match="job hoa-connect-uninstall failed"):
        installation.uninstall()
    assert "1 tenant (acme) still being deleted, which only the operator can finish" in log_of(
        job_runner, kubectl, "uninstall"
    )
    assert kubectl.get("hoat", "acme")["metadata"]["finalizers"] == [FINALIZER]
    assert kubectl.get("deployment", "hoa-connect-operator")["spec"]["replicas"] == 2
    kubectl.patch("hoat", "acme", {"metadata": {"finalizers": None}})
    installation.uninstall()


def test_installing_again_finds_everything_as_it_was(installation: Installation) -> None:
    installation.install()
    before = {name: installation.secret(name) for name in MADE_SECRETS}
    claim = installation.kubectl.get("pvc", "hoa-connect-files")["metadata"]["uid"]
    installation.uninstall()
    installation.install()
    assert {name: installation.secret(name) for name in MADE_SECRETS} == before
    assert installation.kubectl.get("pvc", "hoa-connect-files")["metadata"]["uid"] == claim


def test_a_protected_tenant_is_not_deleted(installation: Installation) -> None:
    installation.install()
    kubectl = installation.kubectl
    kubectl.apply(tenant("acme", deletionProtection="Enabled"), tenant("beta"))
    text = refused_deletion(kubectl, "acme")
    change = '{"spec":{"deletionProtection":"Disabled"}}'
    unlock = f"kubectl -n {kubectl.namespace} patch hoat acme --type=merge -p '{change}'"
    assert f"HOATenant acme is protected from deletion; if it shall go, first run: {unlock}" in text
    kubectl.delete("hoat", "beta")
    kubectl.patch("hoat", "acme", {"spec": {"deletionProtection": "Disabled"}})
    kubectl.delete("hoat", "acme")


def refused_deletion(kubectl: Kubectl, name: str, timeout: float = 20.0) -> str:
    """Return the words of the refusal; a policy takes a moment to come into force, hence the dry runs until it has."""

    def refusal() -> str:
        try:
            kubectl.delete("hoat", name, "--dry-run=server")
        except KubectlError as refused:
            return str(refused)
        return ""

    return until(refusal, f"the deletion of {name} to be refused", timeout)


def test_another_namespaces_tenants_are_not_its_business(installation: Installation, bare_kubectl: Kubectl) -> None:
    installation.install()
    bare_kubectl("create", "namespace", f"{installation.kubectl.namespace}-other")
    other = bare_kubectl.within(f"{installation.kubectl.namespace}-other")
    installation.kubectl.apply(tenant("acme", deletionProtection="Enabled"))
    other.apply(tenant("acme", deletionProtection="Enabled"))
    refused_deletion(installation.kubectl, "acme")
    other.delete("hoat", "acme")

"""What a tenant may say of its deletion and of coming back, and the words in which the API server refuses the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.helm import one
from tests.cluster.kubectl import KubectlError
from tests.cluster.platform import RELEASE, tenant
from tests.cluster.refusals import accepted, refused
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.helm import Helm
    from tests.cluster.kubectl import Kubectl

WINDOW = (
    'spec.database.undeleteWindow: Invalid value: "string": must be one number with s, m or h, at most 8784h (366 days), '
    "for example 168h; 0s drops the data at once"
)


@pytest.mark.parametrize("window", ["168", "7d", "-1h", "9000h", "1h30m", "0h", "1.5h"])
def test_a_window_that_is_none_is_refused_in_words(kubectl: Kubectl, window: str) -> None:
    assert refused(kubectl, tenant("acme", database={"undeleteWindow": window})) == [WINDOW]


@pytest.mark.parametrize("window", ["0s", "30s", "90m", "8784h"])
def test_a_window_is_kept_as_written(kubectl: Kubectl, window: str) -> None:
    stored = accepted(kubectl, tenant("acme", database={"undeleteWindow": window}))
    assert stored["spec"]["database"]["undeleteWindow"] == window


def test_there_are_two_ways_to_begin(kubectl: Kubectl) -> None:
    assert refused(kubectl, tenant("acme", adoptionPolicy="Always")) == [
        'spec.adoptionPolicy: Unsupported value: "Always": supported values: "Never", "IfUnclaimed"'
    ]
    assert accepted(kubectl, tenant("acme", adoptionPolicy="IfUnclaimed"))["spec"]["adoptionPolicy"] == "IfUnclaimed"


def test_a_server_lists_what_it_keeps_with_its_end(kubectl: Kubectl) -> None:
    spec: dict[str, Any] = {"endpoint": {"host": "db"}, "adminSecretName": "admin"}
    kubectl.apply(
        {
            "apiVersion": "hoaconnect.com/v1alpha1",
            "kind": "HOADatabaseServer",
            "metadata": {"name": "default"},
            "spec": spec,
        }
    )
    entry = {
        "name": "hoa_connect_deleted_a",
        "dropAfter": "2026-11-30T12:00:00Z",
        "problem": "OwnershipNotProven: its comment is not ours",
    }
    kubectl.patch_status("hoads", "default", {"retained": 1, "retainedDatabases": [entry]})
    assert kubectl.get("hoads", "default")["status"]["retainedDatabases"] == [entry]


# deletionProtection: the API server itself refuses


@pytest.fixture
def protected(kubectl: Kubectl, helm: Helm) -> Iterator[Kubectl]:
    """A namespace with the chart's policy in force, and the tenant `acme` protected by it."""
    rendered = helm.render({"ingress": {"baseDomain": "hoaconnect.test"}}, RELEASE, kubectl.namespace)
    name = f"{kubectl.namespace}-{RELEASE}-deletion-protection"
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    kubectl.apply(*(one(rendered, kind, name) for kind in kinds))
    kubectl.apply(tenant("acme", deletionProtection="Enabled"), tenant("beta"))
    until(lambda: refusal(kubectl, "hoat", "acme", "--dry-run=server"), "the policy to come into force", 20)
    yield kubectl
    kubectl("delete", *(f"{kind}/{name}" for kind in kinds))


def refusal(kubectl: Kubectl, *arguments: str) -> str:
    """Return the words in which a deletion is refused, or nothing."""
    try:
        kubectl("delete", *arguments)
    except KubectlError as refused_it:
        return str(refused_it)
    return ""


def test_a_protected_tenant_is_refused_with_the_command_that_frees_it(protected: Kubectl) -> None:
    for arguments in (
        ("hoat", "acme"),
        ("hoat", "acme", "--force", "--grace-period=0"),
        ("hoat", "acme", "--cascade=orphan"),
    ):
        text = refusal(protected, *arguments)
        assert "HOATenant acme is protected from deletion; if it shall go, first run: kubectl -n" in text
    assert "is protected" in refusal(protected, "hoat", "--all")
    assert [body["metadata"]["name"] for body in protected.list("hoat")] in (["acme"], ["acme", "beta"])
    protected.patch("hoat", "acme", {"spec": {"deletionProtection": "Disabled"}})
    assert refusal(protected, "hoat", "acme") == ""


def test_protection_does_not_keep_a_namespace_from_going(protected: Kubectl) -> None:
    protected("delete", "namespace", protected.namespace, "--wait=false")
    protected.wait_gone("namespace", protected.namespace, 30)

"""A platform engineer's view: apply, look, break, delete."""

from __future__ import annotations

import httpx
import pykube
import pytest

from tests.e2e.cluster import NAMESPACE, Cluster, condition
from tests.waiting import until

STEPS = [
    "CreateTenantRecord",
    "ProvisionDatabase",
    "RunMigrations",
    "CreateAdminUser",
    "ConfigureRoute",
    "InitializeDefaults",
    "SendWelcomeEmail",
]


@pytest.mark.parametrize(("name", "tier"), [("seabreeze", "small"), ("pinnacle", "medium"), ("coastal", "large")])
def test_the_sample_tenants_are_served_in_their_tiers(cluster: Cluster, name: str, tier: str) -> None:
    tenant = cluster.tenant(name)
    assert condition(tenant, "Ready")
    assert tenant.obj["status"]["tier"] == tier
    assert tenant.obj["status"]["url"] == cluster.url(name)
    page = cluster.get(f"{name}.localhost", "/sign-in")
    assert page.status_code == 200
    assert tenant.obj["spec"]["displayName"] in page.text


def test_the_seven_steps_of_onboarding_are_told(cluster: Cluster) -> None:
    tenant = cluster.tenant("seabreeze")
    until(lambda: condition(tenant, "WelcomeMailSent"), "the welcome mail of seabreeze")
    steps = tenant.obj["status"]["onboarding"]
    assert [step["step"] for step in steps] == STEPS
    assert all(step.get("finishedAt") for step in steps)


def test_unknown_hosts_are_not_found(cluster: Cluster) -> None:
    assert cluster.get("nobody.localhost", "/").status_code == 404


def test_a_deleted_ingress_comes_back_and_a_deleted_tenant_does_not(cluster: Cluster) -> None:
    tenant = cluster.make_tenant("drift")
    ingresses = pykube.Ingress.objects(cluster.api).filter(namespace=NAMESPACE)
    ingress = ingresses.get(name=f"tenant-{tenant.name}")
    uid = ingress.obj["metadata"]["uid"]
    ingress.delete()

    def back() -> bool:
        found = ingresses.get_or_none(name=f"tenant-{tenant.name}")
        return found is not None and found.obj["metadata"]["uid"] != uid

    until(back, "the Ingress to be made again", 15)
    host = f"{tenant.name}.localhost"
    until(lambda: cluster.get(host, "/sign-in").status_code == 200, "the route to work again", 30)
    cluster.remove(tenant)
    until(lambda: cluster.get(host, "/sign-in").status_code == 404, "the route to be gone", 30)
    assert ingresses.get_or_none(name=f"tenant-{tenant.name}") is None


def test_a_bad_tenant_is_refused_in_words(cluster: Cluster) -> None:
    with pytest.raises(pykube.exceptions.HTTPError, match="reserved for the platform"):
        cluster.make_tenant("bad", slug="www")


def test_a_suspended_tenant_says_so(cluster: Cluster) -> None:
    tenant = cluster.make_tenant("pause")
    tenant.patch({"spec": {"state": "Suspended"}})
    host = f"{tenant.name}.localhost"
    page = until(lambda: _if_contains(cluster, host, "suspended"), "the page to say that the portal is suspended", 30)
    assert page.status_code in (403, 503)
    tenant.patch({"spec": {"state": "Active"}})
    until(lambda: cluster.get(host, "/sign-in").status_code == 200, "the tenant to be served again", 30)


def _if_contains(cluster: Cluster, host: str, text: str) -> httpx.Response | None:
    page = cluster.get(host, "/sign-in")
    return page if text in page.text.lower() else None

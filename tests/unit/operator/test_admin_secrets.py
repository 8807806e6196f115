"""A corrected admin Secret is noticed, and no other Secret is."""

from __future__ import annotations

from typing import Any

from hoa_operator.adminsecrets import AdminSecrets
from hoa_operator.cache import Cache
from hoa_operator.kinds import SERVER, TENANT
from hoa_operator.watch import is_ours
from tests.unit.operator.samples import server_body, tenant_body

Json = dict[str, Any]


def secret(name: str, version: str, **labels: str) -> Json:
    return {
        "kind": "Secret",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version, "labels": labels},
    }


def cluster() -> Cache:
    cache = Cache()
    for name, admin in (("default", "postgres-admin"), ("other", "other-admin")):
        body = server_body(name)
        cache.observe(SERVER, {**body, "spec": {**body["spec"], "adminSecretName": admin}})
    for name, server in (("a", "default"), ("b", "other"), ("c", None)):
        body = tenant_body(name, meta={"uid": f"uid-{name}", "resourceVersion": "1"})
        cache.observe(TENANT, {**body, "status": {"database": {"server": server}} if server else {}})
    return cache


def test_a_corrected_secret_calls_for_its_server_then_for_its_tenants() -> None:
    secrets = AdminSecrets(cluster())
    assert [tuple(call.key) for call in secrets.calls(secret("postgres-admin", "5"), deleted=False)] == [
        ("server", "default")
    ], "what is there at the start, or was just made"
    assert list(secrets.calls(secret("postgres-admin", "5"), deleted=False)) == [], "a watch that begins anew"
    server, tenant = secrets.calls(secret("postgres-admin", "6"), deleted=False)
    assert (tuple(server.key), tuple(tenant.key)) == (("server", "default"), ("tenant", "a"))
    assert server.delay < tenant.delay


def test_a_deleted_secret_calls_and_so_does_its_return() -> None:
    secrets = AdminSecrets(cluster())
    list(secrets.calls(secret("other-admin", "5"), deleted=False))
    for version, deleted in (("6", True), ("7", False)):
        called = [tuple(call.key) for call in secrets.calls(secret("other-admin", version), deleted=deleted)]
        assert called == [("server", "other"), ("tenant", "b")]


def test_no_other_secret_calls() -> None:
    secrets = AdminSecrets(cluster())
    for version in ("5", "6"):
        assert list(secrets.calls(secret("sh.helm.release.v1.hoa.v1", version), deleted=False)) == []


def test_ours_are_those_with_both_labels() -> None:
    labels = {"app.kubernetes.io/instance": "r", "app.kubernetes.io/managed-by": "hoa-operator"}
    assert is_ours(secret("x", "1", **labels), "r")
    assert not is_ours(secret("x", "1", **labels), "another")
    assert not is_ours(secret("x", "1", **{**labels, "app.kubernetes.io/managed-by": "Helm"}), "r")

"""Every object the operator applies, whole."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoa_operator import desire, names
from hoa_operator.kinds import DEPLOYMENT, SECRET
from hoa_operator.manifests import meta, secrets
from hoa_operator.manifests.autoscalers import autoscaler
from hoa_operator.manifests.meta import Family, Owner, holds, is_current
from hoa_operator.tiers import Replicas
from tests.unit.operator.samples import (
    CREDENTIALS,
    UID,
    children,
    live,
    provisioned,
    settings,
    shared_app,
    tenant_body,
    world,
)

Json = dict[str, Any]
OWNER = {
    "apiVersion": "hoaconnect.com/v1alpha1",
    "kind": "HOATenant",
    "name": "seabreeze",
    "uid": UID,
    "controller": True,
    "blockOwnerDeletion": False,
}


def labels(component: str) -> Json:
    return {
        "app.kubernetes.io/name": "hoa-connect",
        "app.kubernetes.io/instance": "hoa-connect",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "hoa-operator",
        "app.kubernetes.io/version": "1.0.0",
        "hoaconnect.com/tenant": "seabreeze",
        "hoaconnect.com/tenant-id": UID,
    }


def plain(manifest: Json) -> Json:
    """Return a manifest without its digest, which is checked to be there."""
    copy: Json = json.loads(json.dumps(manifest))
    annotations = copy["metadata"]["annotations"]
    assert len(annotations.pop(names.ANNOTATION_APPLIED)) == 16
    if not annotations:
        del copy["metadata"]["annotations"]
    return copy


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_credentials_secret() -> None:
    assert plain(desire.credentials_secret(world(), CREDENTIALS)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "tenant-seabreeze-credentials",
            "namespace": "hoa-connect",
            "labels": labels("tenant"),
            "ownerReferences": [OWNER],
        },
        "type": "Opaque",
        "data": {
            "app-password": coded(CREDENTIALS.app_password),
            "migrator-password": coded(CREDENTIALS.migrator_password),
            "signing-keys": coded(CREDENTIALS.signing_keys),
        },
    }


def test_credentials_are_read_back() -> None:
    data = desire.credentials_secret(world(), CREDENTIALS)["data"]
    assert secrets.read_credentials(data) == CREDENTIALS
    for key in data:
        assert secrets.read_credentials({**data, key: ""}) is None
        assert secrets.read_credentials({**data, key: "%%%"}) is None
        assert secrets.read_credentials({other: value for other, value in data.items() if other != key}) is None


def test_migrator_secret() -> None:
    manifest = plain(desire.migrator_secret(world(), CREDENTIALS, "done"))
    assert manifest["metadata"] == {
        "name": "tenant-seabreeze-migrator",
        "namespace": "hoa-connect",
        "labels": labels("migration"),
        "ownerReferences": [OWNER],
        "annotations": {"hoaconnect.com/migrated": "done"},
    }
    database = f"hoa_connect_tenant_{UID.replace('-', '')}"
    assert manifest["data"] == {
        "PGHOST": coded("postgres"),
        "PGPORT": coded("5432"),
        "PGDATABASE": coded(database),
        "PGUSER": coded(f"{database}_migrator"),
        "PGPASSWORD": coded(CREDENTIALS.migrator_password),
        "PGSSLMODE": coded("require"),
    }


def test_nothing_of_a_password_is_in_a_digest() -> None:
    one = desire.credentials_secret(world(), CREDENTIALS)
    other = desire.credentials_secret(world(), replace(CREDENTIALS, app_password="different"))
    assert one["metadata"] == other["metadata"]


def test_migration_job() -> None:
    base = world(settings=settings(HOA_IMAGE_PULL_SECRETS="pull-a, pull-b"))
    manifest = plain(desire.migration_job(base, 2))
    annotations = manifest["metadata"].pop("annotations")
    assert set(annotations) == {"hoaconnect.com/inputs", "hoaconnect.com/purpose", "hoaconnect.com/attempt"}
    assert annotations["hoaconnect.com/attempt"] == "2"
    database = f"hoa_connect_tenant_{UID.replace('-', '')}"
    all_labels = {**labels("migration"), "hoaconnect.com/schema-revision": "0002"}
    environment = {
        "HOA_ADMIN_EMAIL": "maria@seabreeze.example",
        "HOA_ADMIN_NAME": "Maria Alvarez",
        "HOA_APP_ROLE": f"{database}_app",
        "HOA_APP_ROLE_B": f"{database}_app_b",
        "HOA_DISPLAY_NAME": "Seabreeze Management",
        "HOA_OWNER_ROLE": f"{database}_owner",
        "HOA_TARGET_REVISION": "0002",
        "HOA_TENANT_ID": UID,
        "HOA_TENANT_SLUG": "seabreeze",
        "HOA_TIME_ZONE": "America/New_York",
        "HOA_USAGE_ROLE": f"{database}_migrator",
        "HOA_WRITER_ROLE": f"{database}_writer",
    }
    assert manifest == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "tenant-seabreeze-migrate-0002-2",
            "namespace": "hoa-connect",
            "labels": all_labels,
            "ownerReferences": [OWNER],
        },
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": 300,
            "ttlSecondsAfterFinished": 3600,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": "migrate", "operator": "In", "values": [2]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": {"labels": all_labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 10001,
                        "runAsGroup": 10001,
                        "fsGroup": 10001,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "migrate",
                            "image": "hoa-connect/app:1.0.0",
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["python", "-m", "hoa_app.migrate"],
                            "envFrom": [{"secretRef": {"name": "tenant-seabreeze-migrator"}}],
                            "env": [{"name": name, "value": value} for name, value in environment.items()],
                            "resources": {
                                "requests": {"cpu": "50m", "memory": "96Mi"},
                                "limits": {"cpu": "1", "memory": "256Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "terminationMessagePolicy": "File",
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
                    "imagePullSecrets": [{"name": "pull-a"}, {"name": "pull-b"}],
                },
            },
        },
    }


def path(service: str) -> Json:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    return {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}


def test_one_ingress_with_all_hosts() -> None:
    (manifest,) = desire.routes(world(tenant_body(domains=[{"host": "portal.example.com"}])))
    assert plain(manifest) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "tenant-seabreeze",
            "namespace": "hoa-connect",
            "labels": labels("tenant"),
            "ownerReferences": [OWNER],
        },
        "spec": {
            "ingressClassName": "traefik",
            "rules": [
                {"host": "seabreeze.hoaconnect.test", "http": path("hoa-connect-app")},
                {"host": "portal.example.com", "http": path("hoa-connect-app")},
            ],
        },
    }


def test_certificates_come_from_where_the_spec_says() -> None:
    domains = [
        {"host": "a.example.com", "tls": {"secretName": "brought"}},
        {"host": "b.example.com", "tls": {"issuerRef": {"name": "acme", "kind": "Issuer"}}},
        {"host": "c.example.com"},
    ]
    configured = settings(HOA_URL_SCHEME="https", HOA_INGRESS_TLS_SECRET="wildcard")
    own, issued = desire.routes(world(tenant_body(domains=domains), settings=configured))
    assert own["spec"]["tls"] == [
        {"hosts": ["seabreeze.hoaconnect.test"], "secretName": "wildcard"},
        {"hosts": ["a.example.com"], "secretName": "brought"},
        {"hosts": ["c.example.com"]},
    ]
    assert "annotations" not in plain(own)["metadata"]
    assert plain(issued)["metadata"]["annotations"] == {"cert-manager.io/issuer": "acme"}
    assert issued["metadata"]["name"] == "tenant-seabreeze-issuer-acme"
    assert [rule["host"] for rule in issued["spec"]["rules"]] == ["b.example.com"]
    assert issued["spec"]["tls"] == [{"hosts": ["b.example.com"], "secretName": "tenant-seabreeze-tls-b.example.com"}]


def test_dedicated_capacity() -> None:
    base = world(tenant_body(placement="Dedicated", limits={"cpu": "750m"}))
    deployment, service, budget, scaler = (plain(manifest) for manifest in desire.own_capacity(base))
    selector = {
        "app.kubernetes.io/instance": "hoa-connect",
        "app.kubernetes.io/component": "tenant",
        "hoaconnect.com/tenant": "seabreeze",
    }
    metadata = {
        "name": "tenant-seabreeze-app",
        "namespace": "hoa-connect",
        "labels": labels("tenant"),
        "ownerReferences": [OWNER],
    }
    size = {"cpu": "750m", "memory": "512Mi"}
    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": selector},
            "revisionHistoryLimit": 3,
            "strategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels("tenant"), "annotations": {"checksum/config": "1"}},
                "spec": {
                    "containers": [
                        {
                            "name": "app",
                            "image": "hoa-connect/app:1.0.0",
                            "env": [
                                {"name": "HOA_PORT", "value": "8000"},
                                {"name": "HOA_ONLY_TENANT", "value": "seabreeze"},
                            ],
                            "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
                            "resources": {"requests": size, "limits": size},
                        }
                    ],
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": selector},
                        }
                    ],
                    "restartPolicy": "Always",
                },
            },
        },
    }
    assert service == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "ClusterIP",
            "selector": selector,
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
    }
    assert budget == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
    }
    assert scaler == {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "tenant-seabreeze-app"},
            "minReplicas": 2,
            "maxReplicas": 6,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def test_the_shared_template_is_not_changed_by_copying() -> None:
    shared = shared_app()
    before = json.dumps(shared)
    desire.own_capacity(world(tenant_body(placement="Dedicated"), shared_app=shared))
    assert json.dumps(shared) == before


def test_the_shared_autoscaler_belongs_to_the_deployment() -> None:
    owner = Owner(DEPLOYMENT, "hoa-connect-app", "deploy", controller=False)
    family = Family("hoa-connect", "hoa-connect", "1.0.0", owner, {})
    manifest = plain(autoscaler(family, "hoa-connect-app", "app", Replicas(2, 5), 70))
    assert manifest["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "hoa-connect-app",
            "uid": "deploy",
            "controller": False,
            "blockOwnerDeletion": False,
        }
    ]
    assert (manifest["spec"]["minReplicas"], manifest["spec"]["maxReplicas"]) == (2, 5)


# Comparing wanted with live

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_a_thing_holds_itself(value: object) -> None:
    assert holds(value, value)


@given(st.dictionaries(st.text(max_size=3), values, max_size=3), st.text(min_size=4, max_size=5), values)
def test_what_others_add_to_a_mapping_does_not_count(value: Json, key: str, more: object) -> None:
    assert holds({**value, key: more}, value)
    assert not holds(value, {**value, key: "wanted"})


def test_lists_with_names_are_compared_by_name() -> None:
    wanted = [{"name": "a", "value": "1"}]
    assert holds([{"name": "b"}, {"name": "a", "value": "1", "more": 2}], wanted)
    assert not holds([{"name": "a", "value": "2"}], wanted)
    assert not holds([{"host": "x"}, {"host": "y"}], [{"host": "x"}])


@pytest.mark.parametrize("change", [{"deletionTimestamp": "2026-11-23T12:00:00Z"}, {"labels": {}}])
def test_what_is_going_or_changed_is_not_current(change: Json) -> None:
    manifest = desire.credentials_secret(world(), CREDENTIALS)
    found = live(manifest)
    assert is_current(found, manifest)
    assert not is_current({**found, "metadata": {**found["metadata"], **change}}, manifest)
    assert not is_current(None, manifest)


def test_a_field_that_goes_away_changes_the_digest() -> None:
    with_class = desire.routes(world())[0]
    without = desire.routes(world(settings=settings(HOA_INGRESS_CLASS="")))[0]
    assert holds(with_class["spec"], without["spec"])
    assert not is_current(live(with_class), without)


def test_digests_do_not_depend_on_order() -> None:
    assert meta.digest({"a": 1, "b": [1, 2]}) == meta.digest({"b": [1, 2], "a": 1})
    assert meta.digest([1, 2]) != meta.digest([2, 1])


def test_children_are_found_by_kind_and_owner() -> None:
    base = provisioned()
    assert len(base.children.owned(SECRET, UID)) == 2
    assert base.children.owned(SECRET, "another") == ()
    assert children().get(SECRET, "x") is None

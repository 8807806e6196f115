"""A tenant's own capacity, whole, and the shared app's autoscaler."""

from __future__ import annotations

import json

from hoa_operator import desire
from hoa_operator.kinds import DEPLOYMENT
from hoa_operator.manifests.autoscalers import autoscaler
from hoa_operator.manifests.meta import Family, Owner
from hoa_operator.tiers import Replicas
from tests.unit.operator.samples import shared_app, tenant_body, world
from tests.unit.operator.whole import OWNER, labels, plain


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

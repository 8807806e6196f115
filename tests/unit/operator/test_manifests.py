"""Every object the operator applies, whole; a tenant's own capacity is in test_manifests_capacity.py."""

from __future__ import annotations

import base64
from dataclasses import replace

from hoa_operator import desire
from hoa_operator.manifests import secrets
from hoa_operator.manifests.secrets import Marks
from tests.unit.operator.samples import CREDENTIALS, UID, settings, tenant_body, world
from tests.unit.operator.whole import OWNER, Json, labels, plain


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
    manifest = plain(desire.migrator_secret(world(), CREDENTIALS, Marks("done", 2)))
    assert manifest["metadata"] == {
        "name": "tenant-seabreeze-migrator",
        "namespace": "hoa-connect",
        "labels": labels("migration"),
        "ownerReferences": [OWNER],
        "annotations": {"hoaconnect.com/migrated": "done", "hoaconnect.com/migration-begun": "2"},
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

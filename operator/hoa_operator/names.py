"""Every name, label, annotation and condition the operator writes, in one place, with lengths that always fit.

`docs/contract.md` section 3 fixes the names in Postgres; they live in `postgres.py`. Here is the Kubernetes side.
"""

from __future__ import annotations

import hashlib
from typing import Final

GROUP: Final = "hoaconnect.com"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
FIELD_MANAGER: Final = "hoa-operator"
MANAGED_BY: Final = "hoa-operator"
FINALIZER: Final = f"{GROUP}/teardown"

LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_VERSION: Final = "app.kubernetes.io/version"
LABEL_TENANT: Final = f"{GROUP}/tenant"
LABEL_TENANT_ID: Final = f"{GROUP}/tenant-id"
LABEL_SERVER: Final = f"{GROUP}/database-server"
LABEL_REVISION: Final = f"{GROUP}/schema-revision"

#: One-shot request of a person to try again: the operator removes it when it starts over.
ANNOTATION_RETRY: Final = f"{GROUP}/retry"
#: A person's word that a HOADatabaseServer (the value) is gone for good: deleting the tenant then leaves it alone.
ANNOTATION_ABANDON: Final = f"{GROUP}/abandon-database-on"
#: A tenant id: the new HOATenant takes over the data that is retained under it.
ANNOTATION_ADOPT: Final = f"{GROUP}/adopt-tenant-id"
#: Digest of what the operator wants an object to be; a change means "apply again", also when a field only went away.
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"
#: Digest of what a migration Job was started with: another digest means the Job is out of date.
ANNOTATION_INPUTS: Final = f"{GROUP}/inputs"
#: Digest of what a migration Job is for, and on the migrator Secret, of what the last successful one was for.
ANNOTATION_PURPOSE: Final = f"{GROUP}/purpose"
ANNOTATION_ATTEMPT: Final = f"{GROUP}/attempt"
ANNOTATION_MIGRATED: Final = f"{GROUP}/migrated"
#: On the migrator Secret: the attempt that was begun since, which may have changed the database whatever became of it.
ANNOTATION_BEGUN: Final = f"{GROUP}/migration-begun"
#: On the migrator's Secret: what the last success said of the admin's invitation.
ANNOTATION_INVITATION: Final = f"{GROUP}/invitation"
#: On the Secret of the sealing keys: a person's request, when they were last rotated, how far a rotation is, and the
#: fingerprint of the key that it brings.
ANNOTATION_ROTATE_REQUESTED: Final = f"{GROUP}/rotate-requested-at"
ANNOTATION_ROTATED_AT: Final = f"{GROUP}/rotated-at"
ANNOTATION_SEALING_STEP: Final = f"{GROUP}/sealing-step"
ANNOTATION_SEALING_SINCE: Final = f"{GROUP}/sealing-step-since"
ANNOTATION_SEALING_KEY: Final = f"{GROUP}/sealing-step-key"
#: On an Ingress whose certificates cert-manager makes: JSON of each host and when its certificate was asked for.
ANNOTATION_CERTIFICATES: Final = f"{GROUP}/certificates"
#: cert-manager's own, by the issuer's kind: on an Ingress that it is to make certificates for, and on the Secret of one.
ISSUER_ANNOTATIONS: Final = {"ClusterIssuer": "cert-manager.io/cluster-issuer", "Issuer": "cert-manager.io/issuer"}
ANNOTATION_ISSUER_NAME: Final = "cert-manager.io/issuer-name"
ANNOTATION_ISSUER_KIND: Final = "cert-manager.io/issuer-kind"

APP_NAME: Final = "hoa-connect"
APP_CONTAINER: Final = "app"

#: The longest HOATenant or HOADatabaseServer name that leaves room for every child's suffix (CEL holds it, too).
MAX_TENANT_NAME: Final = 40
#: A label's value, and with it the name a Job may have (its pods carry the name as a label).
MAX_LABEL_VALUE: Final = 63


def bounded(name: str, limit: int = MAX_LABEL_VALUE) -> str:
    """Return `name` if it fits, else its head and a digest of the whole, so that two long names never meet."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name[: limit - len(digest) - 1].rstrip('-.')}-{digest}"


def credentials_secret(tenant: str) -> str:
    """Name the Secret that is the source of truth for the tenant's passwords and signing keys."""
    return bounded(f"tenant-{tenant}-credentials")


def migrator_secret(tenant: str) -> str:
    """Name the Secret with libpq's variables for the migration Job."""
    return bounded(f"tenant-{tenant}-migrator")


def migration_job(tenant: str, revision: str, attempt: int = 1) -> str:
    """Name the Job that takes a tenant to a revision; a further attempt gets a number."""
    suffix = "" if attempt == 1 else f"-{attempt}"
    return bounded(f"tenant-{tenant}-migrate-{revision}{suffix}")


def ingress(tenant: str) -> str:
    """Name the tenant's Ingress."""
    return bounded(f"tenant-{tenant}")


def issued_ingress(tenant: str, issuer_kind: str, issuer: str) -> str:
    """Name the Ingress of those hosts whose certificates one issuer makes."""
    return bounded(f"tenant-{tenant}-{issuer_kind.lower()}-{issuer}")


def certificate_secret(tenant: str, host: str) -> str:
    """Name the Secret that cert-manager puts a host's certificate in."""
    return bounded(f"tenant-{tenant}-tls-{host}")


def dedicated(tenant: str) -> str:
    """Name the Deployment, Service, PodDisruptionBudget and HPA of a tenant with its own capacity."""
    return bounded(f"tenant-{tenant}-app")


def template_secret(server: str) -> str:
    """Name the Secret with libpq's variables for a server's template Job."""
    return bounded(f"template-{server}-migrator")


def template_job(server: str, revision: str, attempt: int = 1) -> str:
    """Name the Job that fills a server's template database."""
    suffix = "" if attempt == 1 else f"-{attempt}"
    return bounded(f"template-{server}-{revision}{suffix}")


def platform_labels(release: str) -> dict[str, str]:
    """Return the labels of the Secrets that the chart's setup makes: the operator may mend one, and it stays the chart's."""
    return {
        LABEL_NAME: APP_NAME,
        LABEL_INSTANCE: release,
        LABEL_COMPONENT: "platform",
        LABEL_MANAGED_BY: "Helm",
    }


def common_labels(release: str, component: str, version: str) -> dict[str, str]:
    """Return the labels that everything of one installation carries."""
    return {
        LABEL_NAME: APP_NAME,
        LABEL_INSTANCE: release,
        LABEL_COMPONENT: component,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_VERSION: bounded(version),
    }

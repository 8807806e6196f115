"""The Job that takes a database to a revision (contract section 4): small, restricted, bounded in time and tries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hoa_operator import names
from hoa_operator.kinds import JOB
from hoa_operator.manifests.meta import Family, Manifest, digest, stamped

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTAINER: Final = "migrate"
EXIT_FINAL: Final = 2
_USER: Final = 10001


@dataclass(frozen=True)
class JobImage:
    """What runs, and for how long at most."""

    image: str
    pull_policy: str
    pull_secrets: tuple[str, ...]
    deadline_seconds: int
    ttl_seconds: int


@dataclass(frozen=True)
class Migration:
    """One migration to run: its command's arguments, its environment, and the Secret with the connection.

    `purpose` is a digest of why it is run at all. A rebuilt image or another display name reruns nothing.
    """

    revision: str
    purpose: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    secret: str


def inputs(migration: Migration, image: JobImage) -> str:
    """Return a digest of everything a Job is started with: another digest means a running Job is out of date."""
    return digest([vars(migration) | {"environment": dict(migration.environment)}, vars(image)])


def migration_job(family: Family, name: str, migration: Migration, image: JobImage, attempt: int = 1) -> Manifest:
    """Build the Job. Exit code 2 fails it at once; an evicted pod does not count as a try."""
    annotations = {
        names.ANNOTATION_INPUTS: inputs(migration, image),
        names.ANNOTATION_PURPOSE: migration.purpose,
        names.ANNOTATION_ATTEMPT: str(attempt),
    }
    labels = {**family.all_labels("migration"), names.LABEL_REVISION: migration.revision}
    metadata = family.metadata(name, "migration", annotations)
    return stamped(
        {
            "apiVersion": JOB.api_version,
            "kind": JOB.kind,
            "metadata": {**metadata, "labels": labels},
            "spec": {
                "backoffLimit": 3,
                "activeDeadlineSeconds": image.deadline_seconds,
                "ttlSecondsAfterFinished": image.ttl_seconds,
                "podFailurePolicy": {
                    "rules": [
                        {
                            "action": "FailJob",
                            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [EXIT_FINAL]},
                        },
                        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    ]
                },
                "template": {
                    "metadata": {"labels": labels},
                    "spec": _pod(migration, image),
                },
            },
        }
    )


def _pod(migration: Migration, image: JobImage) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(migration, image)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }
    if image.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in image.pull_secrets]
    return pod


def _container(migration: Migration, image: JobImage) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": image.image,
        "imagePullPolicy": image.pull_policy,
        "command": ["python", "-m", "hoa_app.migrate", *migration.arguments],
        "envFrom": [{"secretRef": {"name": migration.secret}}],
        "env": [{"name": name, "value": value} for name, value in sorted(migration.environment.items())],
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
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }

"""HorizontalPodAutoscalers: the shared app's, sized by all tenants' tiers, and each dedicated app's, sized by
its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoa_operator.kinds import DEPLOYMENT, HPA
from hoa_operator.manifests.meta import Family, Manifest, stamped

if TYPE_CHECKING:
    from hoa_operator.tiers import Replicas


def autoscaler(family: Family, name: str, component: str, replicas: Replicas, cpu_percent: int) -> Manifest:
    """Build the HPA named like the Deployment it scales. It grows at once and shrinks slowly."""
    return stamped(
        {
            "apiVersion": HPA.api_version,
            "kind": HPA.kind,
            "metadata": family.metadata(name, component),
            "spec": {
                "scaleTargetRef": {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind, "name": name},
                "minReplicas": replicas.minimum,
                "maxReplicas": replicas.maximum,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": cpu_percent},
                        },
                    }
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
            },
        }
    )

"""The running platform as a person meets it: resources by kubectl's API, pages by host name, mail in the catcher."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx
import pykube

from tests.waiting import until

NAMESPACE = "hoa-connect"
LINK = re.compile(r"https?://[^\s\"'<>]+")


class HOATenant(pykube.objects.NamespacedAPIObject):  # type: ignore[misc]
    """One management company, as the API server stores it."""

    version = "hoaconnect.com/v1alpha1"
    endpoint = "hoatenants"
    kind = "HOATenant"


@dataclass
class Cluster:
    """One handle for a whole test run; `made` are the tenants to remove at its end."""

    port: int
    api: pykube.HTTPClient
    made: list[HOATenant] = field(default_factory=list)

    @classmethod
    def from_env(cls) -> Cluster:
        """The cluster that KUBECONFIG and HOA_PORT name."""
        config = pykube.KubeConfig.from_file(os.environ["KUBECONFIG"])
        return cls(int(os.environ.get("HOA_PORT", "8080")), pykube.HTTPClient(config))

    def tenant(self, name: str) -> HOATenant:
        """A tenant that exists."""
        found: HOATenant = HOATenant.objects(self.api).filter(namespace=NAMESPACE).get(name=name)
        return found

    def make_tenant(self, prefix: str, **spec: Any) -> HOATenant:
        """Apply a tenant with a name of its own and wait until it is Ready."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        tenant = HOATenant(
            self.api,
            {
                "apiVersion": HOATenant.version,
                "kind": "HOATenant",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "displayName": f"{prefix.title()} Management",
                    "admin": {"name": "Olive Owner", "email": f"olive@{name}.example"},
                    "database": {"deletionPolicy": "Delete", "undeleteWindow": "0s"},
                    **spec,
                },
            },
        )
        tenant.create()
        self.made.append(tenant)
        until(lambda: condition(tenant, "Ready"), f"{name} to be Ready")
        return tenant

    def remove(self, tenant: HOATenant) -> None:
        """Delete a tenant and wait until it is gone."""
        tenant.delete()
        until(lambda: not tenant.exists(), f"{tenant.name} to be gone")
        self.made.remove(tenant)

    def url(self, slug: str) -> str:
        """Where a browser opens a tenant."""
        return f"http://{slug}.localhost:{self.port}"

    def get(self, host: str, path: str, **more: Any) -> httpx.Response:
        """GET by Host header, so that no name has to resolve."""
        headers = {"Host": f"{host}:{self.port}", **more.pop("headers", {})}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=15, **more)

    def mailed_link(self, address: str, path: str) -> str:
        """Wait for the newest mail to `address` with a link to `path`, and return the link."""

        def look() -> str | None:
            messages = self.get("mail.localhost", "/api/messages").raise_for_status().json()
            texts = (message["text"] for message in messages if address in message["recipients"])
            links = (link for text in texts for link in LINK.findall(text) if path in link)
            return next(links, None)

        return str(until(look, f"a mail to {address} with a link to {path}"))


def condition(tenant: HOATenant, kind: str) -> bool:
    """Whether a condition is True for the stored generation."""
    tenant.reload()
    status = tenant.obj.get("status", {})
    current = status.get("observedGeneration") == tenant.obj["metadata"]["generation"]
    return current and any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions", []))

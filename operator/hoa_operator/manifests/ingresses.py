"""Ingresses: one with all the tenant's hosts, and one more per cert-manager issuer.

cert-manager reads the issuer from an annotation of the whole Ingress and would also replace certificates that people
brought, so hosts of an issuer never share an Ingress with others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hoa_operator import names
from hoa_operator.kinds import INGRESS
from hoa_operator.manifests.meta import Family, Manifest, stamped
from hoa_operator.tenant import Domain, Issuer

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Route:
    """Where a tenant's hosts lead. `own_host` is `<slug>.<base domain>`, served with `tls_secret` if there is one."""

    tenant: str
    own_host: str
    domains: tuple[Domain, ...]
    ingress_class: str
    service: str
    https: bool
    tls_secret: str | None


def ingresses(family: Family, route: Route) -> list[Manifest]:
    """Build all Ingresses of a tenant, the one with its own host first."""
    plain = [Domain(route.own_host, route.tls_secret)]
    plain += [domain for domain in route.domains if domain.issuer is None and domain.host != route.own_host]
    built = [_ingress(family, route, names.ingress(route.tenant), plain, None)]
    issuers = sorted({d.issuer for d in route.domains if d.issuer}, key=lambda issuer: (issuer.kind, issuer.name))
    for issuer in issuers:
        domains = [domain for domain in route.domains if domain.issuer == issuer]
        built.append(
            _ingress(family, route, names.issued_ingress(route.tenant, issuer.kind, issuer.name), domains, issuer)
        )
    return built


def _ingress(family: Family, route: Route, name: str, domains: Sequence[Domain], issuer: Issuer | None) -> Manifest:
    annotations = None
    if issuer is not None:
        word = "cluster-issuer" if issuer.kind == "ClusterIssuer" else "issuer"
        annotations = {f"cert-manager.io/{word}": issuer.name}
    spec: dict[str, Any] = {"rules": [_rule(domain.host, route.service) for domain in domains]}
    if route.ingress_class:
        spec["ingressClassName"] = route.ingress_class
    if route.https:
        spec["tls"] = [_tls(route.tenant, domain) for domain in domains]
    return stamped(
        {
            "apiVersion": INGRESS.api_version,
            "kind": INGRESS.kind,
            "metadata": family.metadata(name, "tenant", annotations),
            "spec": spec,
        }
    )


def _rule(host: str, service: str) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}


def _tls(tenant: str, domain: Domain) -> dict[str, Any]:
    if domain.issuer is not None:
        return {"hosts": [domain.host], "secretName": names.certificate_secret(tenant, domain.host)}
    if domain.secret_name:
        return {"hosts": [domain.host], "secretName": domain.secret_name}
    return {"hosts": [domain.host]}

"""Ingresses: one with all the tenant's hosts, and one more per cert-manager issuer.

cert-manager reads the issuer from an annotation of the whole Ingress and would also replace certificates that people
brought, so hosts of an issuer never share an Ingress with others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hoa_operator import names
from hoa_operator.budget import spelled
from hoa_operator.kinds import INGRESS
from hoa_operator.manifests.meta import Family, Manifest, stamped
from hoa_operator.tenant import Domain, Issuer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from hoa_operator.settings import ExternalDns

_EXTERNAL_DNS: Final = "external-dns.alpha.kubernetes.io"


@dataclass(frozen=True)
class Route:
    """Where a tenant's hosts lead. `own_host` is `<slug>.<base domain>`, served with `tls_secret` if there is one; `asked`
    says when the certificate of a host was asked for of its issuer."""

    tenant: str
    own_host: str
    domains: tuple[Domain, ...]
    ingress_class: str
    service: str
    https: bool
    tls_secret: str | None
    asked: Mapping[str, datetime] = field(default_factory=dict)
    external_dns: ExternalDns | None = None


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
    annotations = _issued(route, issuer, domains) if issuer is not None else {}
    if route.external_dns is not None:
        annotations |= _in_dns(route.external_dns, domains)
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


def _issued(route: Route, issuer: Issuer, domains: Sequence[Domain]) -> dict[str, str]:
    """Name the issuer, and keep when each certificate was asked for: that is counted (budget)."""
    annotations = {names.ISSUER_ANNOTATIONS[issuer.kind]: issuer.name}
    asked = {domain.host: route.asked[domain.host] for domain in domains if domain.host in route.asked}
    return annotations | ({names.ANNOTATION_CERTIFICATES: spelled(asked)} if asked else {})


def _in_dns(external_dns: ExternalDns, domains: Sequence[Domain]) -> dict[str, str]:
    found = {f"{_EXTERNAL_DNS}/hostname": ",".join(domain.host for domain in domains)}
    return found | ({f"{_EXTERNAL_DNS}/target": external_dns.target} if external_dns.target else {})


def _rule(host: str, service: str) -> dict[str, Any]:
    backend = {"service": {"name": service, "port": {"number": 80}}}
    return {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}


def _tls(tenant: str, domain: Domain) -> dict[str, Any]:
    if domain.issuer is not None:
        return {"hosts": [domain.host], "secretName": names.certificate_secret(tenant, domain.host)}
    if domain.secret_name:
        return {"hosts": [domain.host], "secretName": domain.secret_name}
    return {"hosts": [domain.host]}

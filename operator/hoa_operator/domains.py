"""Looks at the TLS Secrets of a tenant's own domains, and asks whether certificates may be asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hoa_operator import certificates, names
from hoa_operator.budget import Claim, Scene
from hoa_operator.certificates import Certificate
from hoa_operator.kinds import INGRESS, SECRET, TENANT
from hoa_operator.world import Domains

if TYPE_CHECKING:
    from datetime import datetime

    from hoa_operator.budget import Budget
    from hoa_operator.cache import Cache
    from hoa_operator.certificates import Fault
    from hoa_operator.kube import Kube
    from hoa_operator.settings import RouteSettings
    from hoa_operator.tenant import Domain, TenantSpec


def secret_of(tenant: str, domain: Domain) -> str | None:
    """Name the Secret a domain is served with; None where the ingress controller's own certificate serves it."""
    return names.certificate_secret(tenant, domain.host) if domain.issuer else domain.secret_name


async def read_secrets(kube: Kube, tenant: str, spec: TenantSpec) -> dict[str, Certificate | Fault]:
    """Return what the domains' Secrets hold, by their names; missing ones are left out. Keys are looked at and not kept."""
    found: dict[str, Certificate | Fault] = {}
    for name in sorted({name for domain in spec.domains if (name := secret_of(tenant, domain))}):
        secret = await kube.get(SECRET, name)
        if secret is not None:
            found[name] = certificates.read(secret)
    return found


def allowed(
    budget: Budget, cache: Cache, who: tuple[str, TenantSpec], domains: Domains, route: RouteSettings, now: datetime
) -> Domains:
    """Return the domains with their part of the budget; a host whose certificate is there already needs none."""
    name, spec = who
    issued = [domain for domain in spec.domains if domain.issuer is not None]
    if not issued or not route.https:
        return domains
    owner = names.bounded(name)
    claims = {Claim(owner, domain.host, domain.issuer): _had(domains, name, domain, now) for domain in issued}
    scene = Scene(cache.all(INGRESS), cache.all(TENANT), route.certificates_per_hour)
    verdict = budget.ask(scene, claims, now) if spec.policy == "Managed" else budget.look(scene, claims, now)
    return replace(domains, budget=verdict)


def _had(domains: Domains, tenant: str, domain: Domain, now: datetime) -> datetime | None:
    """Return since when a host has a certificate that serves it and that its issuer made: of another issuer's a new one is
    made."""
    found = domains.secrets.get(names.certificate_secret(tenant, domain.host))
    if (
        isinstance(found, Certificate)
        and found.issuer == domain.issuer
        and certificates.trouble(found, domain.host, now) is None
    ):
        return found.not_before
    return None

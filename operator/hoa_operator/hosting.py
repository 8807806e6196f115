"""Whether each of a tenant's own domains is served with a certificate of its own, in words: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hoa_operator import budget, certificates, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoa_operator.certificates import Fault
    from hoa_operator.tenant import Domain
    from hoa_operator.world import World


def served(world: World) -> tuple[str, ...]:
    """Return the hosts that are routed: those that wait for a certificate's turn are not yet, but by an issuer before."""
    verdict = world.domains.budget
    return tuple(host for host in world.target.hosts if host not in verdict.turns or host in verdict.kept)


def domains(world: World) -> tuple[Domain, ...]:
    """Return the domains that are routed, each with who makes its certificate for now."""
    routed, kept = served(world), world.domains.budget.kept
    mine = (domain for domain in world.target.spec.domains if domain.host in routed)
    return tuple(replace(domain, issuer=kept.get(domain.host, domain.issuer)) for domain in mine)


def finding(world: World) -> tuple[Literal["True", "False"], str, str]:
    """Return status, reason and message of DomainsReady."""
    found = list(troubles(world))
    if not found:
        return "True", "Served", ", ".join(domain.host for domain in world.target.spec.domains)
    # What waits for its turn passes: it does not hide what does not.
    reason = next((reason for reason, _ in found if reason != budget.WAITS), found[0][0])
    return "False", reason, "; ".join(message for _, message in found)


def troubles(world: World) -> Iterator[tuple[str, str]]:
    """Return a reason and a message for each domain that is not served as it should be; plain http needs no certificate."""
    for domain in world.target.spec.domains if world.settings.route.https else ():
        if domain.host in world.domains.budget.turns:
            yield _waits(world, domain)
        elif domain.issuer is not None:
            yield from _issued(world, domain)
        elif domain.secret_name is not None:
            yield from _brought(world, domain, domain.secret_name)


def _waits(world: World, domain: Domain) -> tuple[str, str]:
    most, turn = world.settings.route.certificates_per_hour, world.domains.budget.turns[domain.host]
    kept = world.domains.budget.kept.get(domain.host)
    message = (
        f"{domain.host} waits for the certificate budget, turn {turn}: {most} certificates an hour are asked for "
        "(ingress.certificates.perHour)"
    )
    if kept is not None:
        message += f"; until then it is served by {kept.kind} {kept.name}"
    return budget.WAITS, message


def _issued(world: World, domain: Domain) -> Iterator[tuple[str, str]]:
    name = names.certificate_secret(world.name, domain.host)
    fault = _fault(world, domain, name)
    if fault is not None and domain.issuer is not None:
        look = f"kubectl -n {world.settings.namespace} describe certificate {name}"
        yield (
            "CertificatePending",
            f"{domain.host}: Secret {name} {fault.message}; {domain.issuer.kind} {domain.issuer.name} makes it; should it last, see {look}",
        )


def _brought(world: World, domain: Domain, name: str) -> Iterator[tuple[str, str]]:
    fault = _fault(world, domain, name)
    if fault is None:
        return
    yield (
        fault.reason,
        f"{domain.host}: Secret {name} {fault.message}; put the certificate for {domain.host} and its key there: kubectl -n "
        f"{world.settings.namespace} create secret tls {name} --cert=FILE --key=FILE --dry-run=client -o yaml | kubectl apply -f -",
    )


def _fault(world: World, domain: Domain, name: str) -> Fault | None:
    found = world.domains.secrets.get(name)
    if found is None:
        return certificates.Fault("CertificateSecretMissing", "does not exist")
    return certificates.trouble(found, domain.host, world.now)

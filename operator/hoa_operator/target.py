"""What one tenant shall be, once its spec, the tiers and the servers are known: pure, and the ground every plan
stands on."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from hoa_operator.errors import OperatorError, UserError
from hoa_operator.tenant import asked_hosts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from hoa_operator.servers import DatabaseServer
    from hoa_operator.tenant import Identity, TenantSpec
    from hoa_operator.tiers import Limits, Pending, Tier


@dataclass(frozen=True)
class Surroundings:
    """What else there is in the namespace; `load` counts tenants per server."""

    tiers: tuple[Tier, ...]
    servers: tuple[DatabaseServer, ...]
    load: Mapping[str, int]


@dataclass(frozen=True)
class Target:
    """The tenant as it shall be. `auto_tier` is what tier Auto gives it, in force or not."""

    identity: Identity
    spec: TenantSpec
    tenant_id: UUID
    server: DatabaseServer
    tier: Tier
    homeowners: int
    hosts: tuple[str, ...]
    pending_tier: Pending | None = None
    auto_tier: str | None = None

    @property
    def limits(self) -> Limits:
        """Return the tier's limits with the tenant's own."""
        return self.tier.limits.overridden(self.spec.limits)


def check_hosts(spec: TenantSpec, base_domain: str) -> tuple[str, ...]:
    """Return all hosts of the tenant; refuse one under the platform's own domain, which another tenant's slug may
    claim."""
    hosts = spec.hosts(base_domain)
    for host in hosts[1:]:
        if host == base_domain or host.endswith(f".{base_domain}"):
            raise UserError(
                "HostReserved",
                f"spec.domains: {host} lies under the platform's own domain {base_domain}; "
                "use a host of the tenant's own domain",
            )
    return hosts


def passed_on(
    held: Sequence[str], hosts: Sequence[str], others: Iterable[Mapping[str, Any]], base_domain: str
) -> frozenset[str]:
    """Return the hosts that a tenant holds and gives up, and that another HOATenant asks for. The tenant's own one is never
    among them: it changes with the platform's domain only."""
    left = set(held[1:]) - set(hosts) if held[:1] == hosts[:1] else set()
    if not left:
        return frozenset()
    return frozenset(left.intersection(chain.from_iterable(asked_hosts(body, base_domain) for body in others)))


@dataclass(frozen=True)
class Failure:
    """What went wrong, and which condition it belongs to."""

    error: OperatorError
    condition: str

    @property
    def for_people(self) -> bool:
        """Tell whether a person must act, so that trying again is of no use."""
        return isinstance(self.error, UserError)


class StepFailed(Exception):
    """Carries a failure up to where the status is written."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.error))
        self.failure = failure


@contextmanager
def attributed(condition: str) -> Iterator[None]:
    """Have errors of the block show in `condition`; `Fenced` is none, for nobody may write it down."""
    try:
        yield
    except OperatorError as error:
        raise StepFailed(Failure(error, condition)) from error

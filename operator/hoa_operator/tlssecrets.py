"""Notices that a TLS Secret which a tenant's domain is served with came, went or changed, so that it is told within seconds.

People and cert-manager write these Secrets; they are not kept here, only compared by version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoa_operator import dispatch, names
from hoa_operator.kinds import TENANT, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoa_operator.cache import Cache
    from hoa_operator.dispatch import Call
    from hoa_operator.kinds import Object


class TlsSecrets:
    """The versions seen of the Secrets that HOATenants' domains are served with."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._versions: dict[str, str] = {}

    def calls(self, secret: Object, *, deleted: bool) -> Iterator[Call]:
        """Return the work that an event about a Secret which is not the operator's own calls for."""
        name = name_of(secret)
        tenants = [name_of(body) for body in self._cache.all(TENANT) if name in _secrets(body)]
        if not tenants:
            self._versions.pop(name, None)
            return
        version = "" if deleted else str(secret["metadata"]["resourceVersion"])
        before, self._versions[name] = self._versions.get(name), version
        if before != version:
            yield from (dispatch.tenant(tenant, urgent=False) for tenant in tenants)


def _secrets(tenant: Object) -> Iterator[str]:
    for domain in tenant["spec"].get("domains") or ():
        tls = domain.get("tls") or {}
        if "secretName" in tls:
            yield tls["secretName"]
        elif "issuerRef" in tls:
            yield names.certificate_secret(name_of(tenant), domain["host"].lower())

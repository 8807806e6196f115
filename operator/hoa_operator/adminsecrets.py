"""Notices that the admin Secret of a HOADatabaseServer changed, so that a corrected login is used within seconds.

People write these Secrets, so they carry none of the operator's labels. Secrets are therefore watched whole; what is not
the operator's own is only compared by version here, and never kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hoa_operator import dispatch
from hoa_operator.kinds import SERVER, TENANT, name_of
from hoa_operator.observe import placed_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoa_operator.cache import Cache
    from hoa_operator.dispatch import Call
    from hoa_operator.kinds import Object

#: Seconds the tenants of a server wait, for the server itself to be asked with the new login first.
_AFTER_THE_SERVER = 2.0


class AdminSecrets:
    """The versions seen of the Secrets that HOADatabaseServers name."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._versions: dict[str, str] = {}

    def calls(self, secret: Object, *, deleted: bool) -> Iterator[Call]:
        """Return the work that an event about a Secret which is not the operator's own calls for."""
        name = name_of(secret)
        servers = {name_of(body) for body in self._cache.all(SERVER) if body["spec"]["adminSecretName"] == name}
        if not servers:
            self._versions.pop(name, None)
            return
        version = "" if deleted else str(secret["metadata"]["resourceVersion"])
        before, self._versions[name] = self._versions.get(name), version
        if before == version:
            return
        yield from (dispatch.server(server) for server in sorted(servers))
        if before is not None:
            for body in self._cache.all(TENANT):
                if placed_on(body) in servers:
                    yield dispatch.tenant(name_of(body), urgent=False)._replace(delay=_AFTER_THE_SERVER)

"""How many tenants each server has, counting those that were given a place a moment ago and show it nowhere yet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Places:
    """Places given in this process, as tenant id -> server. The registry records them; until then only this counts."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def given(self, tenant_id: str) -> str | None:
        """Return the server a tenant was given."""
        return self._given.get(tenant_id)

    def give(self, tenant_id: str, server: str) -> None:
        """Count a tenant on a server from now on."""
        self._given[tenant_id] = server

    def release(self, tenant_id: str) -> None:
        """Count it no more."""
        self._given.pop(tenant_id, None)

    def load(self, known: Mapping[str, str], alive: Collection[str], but: str) -> Counter[str]:
        """Count tenants by server: `known` ones, and those given a place that are `alive`; all `but` one tenant."""
        self._given = {tenant_id: server for tenant_id, server in self._given.items() if tenant_id in alive}
        merged = {**self._given, **known}
        merged.pop(but, None)
        return Counter(merged.values())

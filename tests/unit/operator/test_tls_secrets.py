"""A TLS Secret that comes, goes or changes calls for the tenants whose domains it serves, and for nobody else."""

from __future__ import annotations

from typing import Any

from hoa_operator.cache import Cache
from hoa_operator.dispatch import Key
from hoa_operator.kinds import TENANT
from hoa_operator.tlssecrets import TlsSecrets
from tests.unit.operator.samples import tenant_body

Json = dict[str, Any]


def secret(name: str, version: int) -> Json:
    return {"kind": "Secret", "metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


def called(follower: TlsSecrets, item: Json, *, deleted: bool = False) -> list[Key]:
    return [call.key for call in follower.calls(item, deleted=deleted)]


def test_brought_and_issued_secrets_are_followed() -> None:
    cache = Cache()
    domains = [
        {"host": "Portal.example", "tls": {"issuerRef": {"name": "acme"}}},
        {"host": "b.example", "tls": {"secretName": "brought"}},
        {"host": "c.example"},
    ]
    cache.observe(TENANT, tenant_body(domains=domains))
    follower, seabreeze = TlsSecrets(cache), [Key("tenant", "seabreeze")]
    assert called(follower, secret("brought", 1)) == seabreeze
    assert called(follower, secret("brought", 1)) == [], "the same version again is no news"
    assert called(follower, secret("brought", 2)) == seabreeze
    assert called(follower, secret("brought", 2), deleted=True) == seabreeze
    assert called(follower, secret("tenant-seabreeze-tls-portal.example", 1)) == seabreeze
    assert called(follower, secret("somebody-elses", 1)) == []

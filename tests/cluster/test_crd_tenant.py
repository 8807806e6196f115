"""HOATenant's rules against the real API server, with the words a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.platform import tenant
from tests.cluster.refusals import accepted, refused

if TYPE_CHECKING:
    from tests.cluster.kubectl import Kubectl

RESERVED = "this slug is reserved for the platform (as are www, api, admin, mail and the like); choose another slug"
DNS_LABEL = (
    'Invalid value: "string": must be a DNS label of lower-case letters, digits and hyphens that starts and ends with '
    "a letter or digit, for example seabreeze"
)
FULL_HOST = (
    'Invalid value: "string": must be a full host name such as portal.seabreeze.example, without scheme, port, path, '
    "wildcard or IP address"
)
EITHER_TLS = (
    'Invalid value: "object": needs exactly one of secretName (a certificate you bring) and issuerRef '
    "(cert-manager makes one)"
)
OWN_NAMES = "because the names of the tenant's own objects are built from it"
ONE_LINE = 'Invalid value: "string": must be one line without control characters'
FIELD = "write *, a number, a range, a list or a step"
DURATION = 'Invalid value: "string": must be one number with ms, s, m or h, between 100ms and 1h, for example 30s'
CRON = (
    'Invalid value: "string": must be a cron schedule of five fields (minute hour day month weekday) with one space '
    "between, for example 0 3 * * *"
)


def email(example: str) -> str:
    return f'Invalid value: "string": must be one email address, for example {example}'


def unsupported(given: str, *known: str) -> str:
    listed = ", ".join(f'"{value}"' for value in known)
    return f'Unsupported value: "{given}": supported values: {listed}'


def domain(**fields: Any) -> dict[str, Any]:
    return {"domains": [{"host": "portal.acme.example", **fields}]}


def schedule(text: str) -> dict[str, Any]:
    return {"backup": {"schedule": text}}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "slug in capitals": ({"slug": "Acme"}, f"spec.slug: {DNS_LABEL}"),
    "slug with a dot": ({"slug": "a.b"}, f"spec.slug: {DNS_LABEL}"),
    "slug in punycode": ({"slug": "xn--acme"}, f"spec.slug: {DNS_LABEL}"),
    "slug with a hyphen at its end": ({"slug": "acme-"}, f"spec.slug: {DNS_LABEL}"),
    "slug too long": ({"slug": "a" * 64}, "spec.slug: Too long: may not be more than 63 bytes"),
    "display name missing": ({"displayName": None}, "spec.displayName: Required value"),
    "display name with a space in front": (
        {"displayName": " Acme"},
        'spec.displayName: Invalid value: "string": must not start or end with a space',
    ),
    "display name of two lines": ({"displayName": "A\nB"}, f"spec.displayName: {ONE_LINE}"),
    "display name too long": (
        {"displayName": "a" * 121},
        "spec.displayName: Too long: may not be more than 120 bytes",
    ),
    "admin missing": ({"admin": None}, "spec.admin: Required value"),
    "admin's email without a dot": (
        {"admin": {"name": "A", "email": "a@acme"}},
        f"spec.admin.email: {email('owner@seabreeze.example')}",
    ),
    "two emails in one": (
        {"admin": {"name": "A", "email": "a@acme.example,b@acme.example"}},
        f"spec.admin.email: {email('owner@seabreeze.example')}",
    ),
    "admin's name with a tab": (
        {"admin": {"name": "A\tB", "email": "a@acme.example"}},
        f"spec.admin.name: {ONE_LINE}",
    ),
    "fewer homeowners than none": (
        {"homeowners": -1},
        "spec.homeowners: Invalid value: -1: spec.homeowners in body should be greater than or equal to 0",
    ),
    "more homeowners than a country has": (
        {"homeowners": 10_000_001},
        "spec.homeowners: Invalid value: 10000001: spec.homeowners in body should be less than or equal to 10000000",
    ),
    "tier that cannot be a name": (
        {"tier": "Big One"},
        'spec.tier: Invalid value: "string": must be Auto or the name of a HOATier (see kubectl get hoatiers)',
    ),
    "unknown state": ({"state": "active"}, f"spec.state: {unsupported('active', 'Active', 'ReadOnly', 'Suspended')}"),
    "unknown management policy": (
        {"managementPolicy": "Off"},
        f"spec.managementPolicy: {unsupported('Off', 'Managed', 'Paused', 'ObserveOnly')}",
    ),
    "region that is no label": (
        {"region": "us_east"},
        'spec.region: Invalid value: "string": must be a DNS label such as us-east-1',
    ),
    "unknown placement": ({"placement": "Own"}, f"spec.placement: {unsupported('Own', 'Shared', 'Dedicated')}"),
    "time zone in small letters": (
        {"timeZone": "america/new_york"},
        'spec.timeZone: Invalid value: "string": must be an IANA time zone such as America/New_York or UTC',
    ),
    "time zone by its abbreviation": (
        {"timeZone": "EST"},
        'spec.timeZone: Invalid value: "string": must be an IANA time zone such as America/New_York or UTC',
    ),
    "unknown isolation": (
        {"database": {"isolation": "Schema"}},
        f"spec.database.isolation: {unsupported('Schema', 'Database')}",
    ),
    "server that cannot be a name": (
        {"database": {"serverName": "Main_1"}},
        'spec.database.serverName: Invalid value: "string": must be the name of a HOADatabaseServer '
        "(see kubectl get hoads)",
    ),
    "unknown deletion policy": (
        {"database": {"deletionPolicy": "Drop"}},
        f"spec.database.deletionPolicy: {unsupported('Drop', 'Retain', 'Delete')}",
    ),
    "extension that is SQL": (
        {"database": {"extensions": ["x; DROP TABLE y"]}},
        'spec.database.extensions[0]: Invalid value: "string": must be the name of a Postgres extension '
        "such as pg_trgm",
    ),
    "extension twice": (
        {"database": {"extensions": ["pg_trgm", "pg_trgm"]}},
        'spec.database.extensions[1]: Duplicate value: "pg_trgm"',
    ),
    "unknown deletion protection": (
        {"deletionProtection": "On"},
        f"spec.deletionProtection: {unsupported('On', 'Enabled', 'Disabled')}",
    ),
    "host in capitals": (
        domain(host="Portal.acme.example"),
        'spec.domains[0].host: Invalid value: "string": must be lower case',
    ),
    "host with a scheme": (domain(host="https://acme.example"), f"spec.domains[0].host: {FULL_HOST}"),
    "host with a port": (domain(host="acme.example:8080"), f"spec.domains[0].host: {FULL_HOST}"),
    "host with a wildcard": (domain(host="*.acme.example"), f"spec.domains[0].host: {FULL_HOST}"),
    "host with a dot at its end": (domain(host="acme.example."), f"spec.domains[0].host: {FULL_HOST}"),
    "host that is an address": (domain(host="192.0.2.7"), f"spec.domains[0].host: {FULL_HOST}"),
    "host of one label": (domain(host="localhost"), f"spec.domains[0].host: {FULL_HOST}"),
    "host with a label too long": (domain(host=f"{'a' * 64}.example"), f"spec.domains[0].host: {FULL_HOST}"),
    "host twice": (
        {"domains": [{"host": "acme.example"}, {"host": "acme.example"}]},
        'spec.domains[1]: Duplicate value: {"host":"acme.example"}',
    ),
    "too many hosts": (
        {"domains": [{"host": f"h{number}.acme.example"} for number in range(21)]},
        "spec.domains: Too many: 21: must have at most 20 items",
    ),
    "tls without either": (domain(tls={}), f"spec.domains[0].tls: {EITHER_TLS}"),
    "tls with both": (
        domain(tls={"secretName": "a", "issuerRef": {"name": "b"}}),
        f"spec.domains[0].tls: {EITHER_TLS}",
    ),
    "tls Secret that cannot be a name": (
        domain(tls={"secretName": "My Cert"}),
        'spec.domains[0].tls.secretName: Invalid value: "string": must be the name of a Secret',
    ),
    "issuer that cannot be a name": (
        domain(tls={"issuerRef": {"name": "Le"}}),
        'spec.domains[0].tls.issuerRef.name: Invalid value: "string": must be the name of an issuer',
    ),
    "unknown kind of issuer": (
        domain(tls={"issuerRef": {"name": "le", "kind": "Vault"}}),
        f"spec.domains[0].tls.issuerRef.kind: {unsupported('Vault', 'Issuer', 'ClusterIssuer')}",
    ),
    "colour by name": (
        {"branding": {"primaryColor": "teal"}},
        'spec.branding.primaryColor: Invalid value: "string": must be a colour as #rrggbb, for example #0b6e99',
    ),
    "logo without https": (
        {"branding": {"logoURL": "http://acme.example/logo.svg"}},
        'spec.branding.logoURL: Invalid value: "string": must be an https address, for example '
        "https://seabreeze.example/logo.svg",
    ),
    "logo that is a script": (
        {"branding": {"logoURL": "javascript:alert(1)"}},
        'spec.branding.logoURL: Invalid value: "string": must be an https address, for example '
        "https://seabreeze.example/logo.svg",
    ),
    "support email without a host": (
        {"branding": {"supportEmail": "help"}},
        f"spec.branding.supportEmail: {email('help@seabreeze.example')}",
    ),
    "schedule of six fields": (schedule("0 3 * * * *"), f"spec.backup.schedule: {CRON}"),
    "schedule with two spaces": (schedule("0  3 * * *"), f"spec.backup.schedule: {CRON}"),
    "minute 60": (
        schedule("60 3 * * *"),
        f'spec.backup.schedule: Invalid value: "string": the minute (first field) must be 0-59; {FIELD}',
    ),
    "hour 24": (
        schedule("0 24 * * *"),
        f'spec.backup.schedule: Invalid value: "string": the hour (second field) must be 0-23; {FIELD}',
    ),
    "day 0": (
        schedule("0 3 0 * *"),
        f'spec.backup.schedule: Invalid value: "string": the day of month (third field) must be 1-31; {FIELD}',
    ),
    "month 13": (
        schedule("0 3 * 13 *"),
        f'spec.backup.schedule: Invalid value: "string": the month (fourth field) must be 1-12; {FIELD}',
    ),
    "weekday 8": (
        schedule("0 3 * * 8"),
        'spec.backup.schedule: Invalid value: "string": the day of week (fifth field) must be 0-7, where 0 and 7 are '
        f"Sunday; {FIELD}",
    ),
    "backups kept for no day": (
        {"backup": {"retentionDays": 0}},
        "spec.backup.retentionDays: Invalid value: 0: spec.backup.retentionDays in body should be greater than or "
        "equal to 1",
    ),
    "no requests": (
        {"limits": {"requestsPerSecond": 0}},
        "spec.limits.requestsPerSecond: Invalid value: 0: spec.limits.requestsPerSecond in body should be greater than "
        "or equal to 1",
    ),
    "too many at once": (
        {"limits": {"concurrentRequests": 10_001}},
        "spec.limits.concurrentRequests: Invalid value: 10001: spec.limits.concurrentRequests in body should be less "
        "than or equal to 10000",
    ),
    "too many connections": (
        {"limits": {"databaseConnections": 1001}},
        "spec.limits.databaseConnections: Invalid value: 1001: spec.limits.databaseConnections in body should be less "
        "than or equal to 1000",
    ),
    "timeout without a unit": ({"limits": {"statementTimeout": "30"}}, f"spec.limits.statementTimeout: {DURATION}"),
    "timeout too long": ({"limits": {"statementTimeout": "2h"}}, f"spec.limits.statementTimeout: {DURATION}"),
    "timeout too short": ({"limits": {"statementTimeout": "99ms"}}, f"spec.limits.statementTimeout: {DURATION}"),
    "storage that is a word": (
        {"limits": {"storage": "plenty"}},
        'spec.limits.storage: Invalid value: "": must be a quantity between 1Gi and 64Ti, for example 50Gi',
    ),
    "too little storage": (
        {"limits": {"storage": "1Mi"}},
        'spec.limits.storage: Invalid value: "": must be a quantity between 1Gi and 64Ti, for example 50Gi',
    ),
    "more cpu than a machine has": (
        {"limits": {"cpu": 65}},
        'spec.limits.cpu: Invalid value: "": must be a quantity between 10m and 64, for example 500m',
    ),
    "too little memory": (
        {"limits": {"memory": "1Mi"}},
        'spec.limits.memory: Invalid value: "": must be a quantity between 64Mi and 512Gi, for example 1Gi',
    ),
}
ACCEPTED: dict[str, dict[str, Any]] = {
    "slug of its own": {"slug": "acme-west-2"},
    "time zone of three parts": {"timeZone": "America/Argentina/Buenos_Aires"},
    "time zone UTC": {"timeZone": "UTC"},
    "email with a plus": {"admin": {"name": "A", "email": "a.b+hoa@mail.acme.example"}},
    "cron with lists, ranges and steps": schedule("*/15 1-5,7 1,15 * 1-5/2"),
    "whole cores as a number": {"limits": {"cpu": 2, "memory": "2Gi"}},
    "storage in bytes": {"limits": {"storage": 10 * 2**30}},
    "timeout in milliseconds": {"limits": {"statementTimeout": "2500ms"}},
    "host with a Secret": domain(tls={"secretName": "acme-tls"}),
    "twenty hosts": {"domains": [{"host": f"h{number}.acme.example"} for number in range(20)]},
    "name not in Latin letters": {"displayName": "Administración Océano"},
}


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused_in_words(kubectl: Kubectl, change: dict[str, Any], reason: str) -> None:
    body = tenant("acme", **change)
    body["spec"] = {name: value for name, value in body["spec"].items() if value is not None}
    assert refused(kubectl, body) == [reason]


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_is_right_is_kept_as_written(kubectl: Kubectl, change: dict[str, Any]) -> None:
    stored = accepted(kubectl, tenant("acme", **change))["spec"]
    for name, value in change.items():
        kept = stored[name] if not isinstance(value, dict) else {key: stored[name][key] for key in value}
        assert kept == value


@pytest.mark.parametrize("slug", ["www", "api", "admin", "mail", "status", "kubernetes", "internal", "login"])
def test_the_platforms_own_names_are_no_slugs(kubectl: Kubectl, slug: str) -> None:
    assert refused(kubectl, tenant("acme", slug=slug)) == [f"spec.slug: Forbidden: {RESERVED}"]
    assert refused(kubectl, tenant(slug)) == [f"spec.slug: Forbidden: {RESERVED}"]


def test_a_reserved_name_will_do_with_a_slug_of_its_own(kubectl: Kubectl) -> None:
    assert accepted(kubectl, tenant("admin", slug="acme"))["spec"]["slug"] == "acme"


def test_the_name_leaves_room_for_the_names_built_from_it(kubectl: Kubectl) -> None:
    assert refused(kubectl, tenant("a" * 41)) == [
        f'metadata.name: Invalid value: "object": must be at most 40 characters, {OWN_NAMES}'
    ]
    assert refused(kubectl, tenant("acme.west")) == [
        f'metadata.name: Invalid value: "object": must have no dots, {OWN_NAMES}'
    ]
    accepted(kubectl, tenant("a" * 40))


def test_a_misspelt_field_is_refused(kubectl: Kubectl) -> None:
    assert 'unknown field "spec.domain"' in refused(kubectl, tenant("acme", domain=[]))[0]


def test_what_is_left_out_gets_its_default(kubectl: Kubectl) -> None:
    body = tenant("acme")
    del body["spec"]["homeowners"]
    stored = accepted(kubectl, body)["spec"]
    assert stored == {
        "displayName": "Acme Management",
        "admin": {"name": "Maria Alvarez", "email": "maria@acme.example"},
        "homeowners": 0,
        "tier": "Auto",
        "state": "Active",
        "managementPolicy": "Managed",
        "adoptionPolicy": "Never",
        "placement": "Shared",
        "timeZone": "America/New_York",
        "database": {"isolation": "Database", "deletionPolicy": "Retain", "undeleteWindow": "168h"},
        "deletionProtection": "Disabled",
    }


def test_parts_that_are_named_get_their_defaults_too(kubectl: Kubectl) -> None:
    change = {"backup": {}, **domain(tls={"issuerRef": {"name": "letsencrypt"}})}
    stored = accepted(kubectl, tenant("acme", **change))["spec"]
    assert stored["backup"] == {"schedule": "0 3 * * *", "retentionDays": 7, "verify": True}
    assert stored["domains"][0]["tls"]["issuerRef"] == {"name": "letsencrypt", "kind": "ClusterIssuer"}

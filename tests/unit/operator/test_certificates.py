"""TLS Secrets of domains: what is wrong with one is told in words, and whose turn it is for a certificate is told, too."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hoa_operator import certificates, conditions, desire, events, hosting
from hoa_operator.budget import Budget, Claim, Scene, Verdict
from hoa_operator.cache import Cache
from hoa_operator.certificates import Certificate, Fault
from hoa_operator.domains import allowed
from hoa_operator.kinds import annotations_of
from hoa_operator.plan import plan
from hoa_operator.status import Report, build
from hoa_operator.tenant import Issuer, parse_spec
from hoa_operator.world import Domains, World
from tests.unit.operator.samples import NOW, served, settings, tenant_body

Json = dict[str, Any]
HOST = "portal.seabreeze.example"


def pem(*hosts: str, start: datetime = NOW - timedelta(days=1), days: int = 90) -> tuple[bytes, bytes]:
    """Return a certificate for the hosts and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=days))
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def secret(certificate: bytes, key: bytes, kind: str = "kubernetes.io/tls") -> Json:
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    return {"type": kind, "metadata": {}, "data": data}


def wrong(made: Json, host: str = HOST, now: datetime = NOW) -> str | None:
    found = certificates.trouble(certificates.read(made), host, now)
    return None if found is None else f"{found.reason}: {found.message}"


def test_a_certificate_serves_its_hosts() -> None:
    assert wrong(secret(*pem(HOST))) is None
    assert wrong(secret(*pem("*.seabreeze.example"))) is None


GOOD = pem(HOST)
FAULTS: dict[str, tuple[Json, str]] = {
    "another type": (
        secret(*GOOD, "Opaque"),
        "CertificateSecretInvalid: is of type Opaque, not kubernetes.io/tls",
    ),
    "no key": (
        {"type": "kubernetes.io/tls", "metadata": {}, "data": {"tls.crt": "eA=="}},
        "CertificateSecretInvalid: lacks the key tls.crt or tls.key",
    ),
    "no certificate": (
        secret(b"hello", GOOD[1]),
        "CertificateSecretInvalid: holds no PEM certificate under tls.crt",
    ),
    "no private key": (
        secret(GOOD[0], b"hello"),
        "CertificateSecretInvalid: holds no PEM private key without a passphrase under tls.key",
    ),
    "another's key": (
        secret(GOOD[0], pem(HOST)[1]),
        "CertificateSecretInvalid: holds a private key that is not its certificate's",
    ),
    "another host": (
        secret(*pem("www.pinnacle.example", "a.b.seabreeze.example")),
        "CertificateHostMismatch: is for www.pinnacle.example, a.b.seabreeze.example",
    ),
    "no host": (secret(*pem()), "CertificateHostMismatch: is for no host"),
    "a wildcard of another depth": (
        secret(*pem("*.example")),
        "CertificateHostMismatch: is for *.example",
    ),
    "expired": (
        secret(*pem(HOST, start=NOW - timedelta(days=91))),
        "CertificateExpired: holds a certificate that is valid from 2026-08-24 to 2026-11-22",
    ),
}


@pytest.mark.parametrize(("made", "words"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_told(made: Json, words: str) -> None:
    assert wrong(made) == words


def hosted(tls: Json, scheme: str = "https", **domains: Any) -> World:
    """Return a served tenant with one domain of its own."""
    base = served(tenant_body(domains=[{"host": HOST, "tls": tls}]), settings=settings(HOA_URL_SCHEME=scheme))
    return replace(base, domains=Domains(**domains))


def found(world: World) -> conditions.Finding:
    return conditions.read(world, plan(world))["DomainsReady"]


BROUGHT = {"secretName": "portal-tls"}
ISSUED = {"issuerRef": {"name": "acme"}}
GOOD_CERTIFICATE = Certificate((HOST,), NOW - timedelta(days=1), NOW + timedelta(days=1))


def test_a_missing_secret_says_how_to_make_it() -> None:
    told = found(hosted(BROUGHT))
    assert (told.status, told.reason) == ("False", "CertificateSecretMissing")
    assert told.message.startswith(f"{HOST}: Secret portal-tls does not exist; put the certificate for {HOST}")
    assert "kubectl -n hoa-connect create secret tls portal-tls --cert=FILE --key=FILE" in told.message


def test_a_good_secret_and_plain_http_are_well() -> None:
    told = found(hosted(BROUGHT, secrets={"portal-tls": GOOD_CERTIFICATE}))
    assert (told.status, told.reason, told.message) == ("True", "Served", HOST)
    assert found(hosted(BROUGHT, scheme="http")).status == "True"


def test_a_tenant_without_domains_has_no_such_condition() -> None:
    base = served()
    assert "DomainsReady" not in conditions.read(base, plan(base))


def test_a_certificate_on_its_way_names_who_makes_it() -> None:
    told = found(hosted(ISSUED, budget=Verdict(asked={HOST: NOW})))
    assert (told.status, told.reason) == ("False", "CertificatePending")
    assert (
        "ClusterIssuer acme makes it; should it last, see kubectl -n hoa-connect describe certificate" in told.message
    )


def test_a_domain_that_waits_is_told_its_turn_and_not_routed_yet() -> None:
    base = hosted(ISSUED, budget=Verdict(turns={HOST: 3}, wait=60.0))
    told = found(base)
    assert (told.status, told.reason) == ("False", "WaitsForCertificateBudget")
    assert f"{HOST} waits for the certificate budget, turn 3: 50 certificates an hour" in told.message
    assert hosting.served(base) == ("seabreeze.hoaconnect.test",)
    (own,) = desire.routes(base)
    assert [rule["host"] for rule in own["spec"]["rules"]] == ["seabreeze.hoaconnect.test"]


def test_a_domain_that_waits_for_another_issuer_is_served_by_the_one_before() -> None:
    before = Issuer("staging", "ClusterIssuer")
    base = hosted(ISSUED, budget=Verdict(asked={HOST: NOW}, turns={HOST: 3}, kept={HOST: before}, wait=60.0))
    assert found(base).message.endswith("; until then it is served by ClusterIssuer staging")
    assert hosting.served(base) == ("seabreeze.hoaconnect.test", HOST)
    _, issued = desire.routes(base)
    assert issued["metadata"]["name"] == "tenant-seabreeze-clusterissuer-staging"
    assert annotations_of(issued)["hoaconnect.com/certificates"] == f'{{"{HOST}":"2026-11-23T12:00:00Z"}}'


def test_since_when_a_domain_waits_is_noted_until_it_no_longer_does() -> None:
    def looked(before: Json, **domains: Any) -> Json:
        base = hosted(ISSUED, **domains)
        base = replace(base, body={**base.body, "status": before})
        return build(Report(base.target.identity, before, NOW, world=base, plan=plan(base)))

    waits = Verdict(turns={HOST: 3}, wait=60.0)
    assert looked({}, budget=waits)["certificatesAwaited"] == {HOST: "2026-11-23T12:00:00Z"}
    since = {"certificatesAwaited": {HOST: "2026-11-20T12:00:00Z"}}
    assert looked(since, budget=waits)["certificatesAwaited"] == since["certificatesAwaited"]
    assert "certificatesAwaited" not in looked(since, budget=Verdict(asked={HOST: NOW}))


@pytest.mark.parametrize(("issuer", "had"), [("acme", True), ("staging", False), ("", False)])
def test_a_certificate_of_another_issuer_is_made_anew_and_takes_a_turn(issuer: str, had: bool) -> None:
    made = secret(*pem(HOST))
    if issuer:
        kinds = {"cert-manager.io/issuer-name": issuer, "cert-manager.io/issuer-kind": "ClusterIssuer"}
        made["metadata"] = {"annotations": kinds}
    spec = parse_spec(tenant_body(domains=[{"host": HOST, "tls": ISSUED}]))
    held = Domains({f"tenant-seabreeze-tls-{HOST}": certificates.read(made)})
    route = settings(HOA_URL_SCHEME="https", HOA_CERTIFICATES_PER_HOUR="1").route
    book, other = Budget(), Claim("other", "other.example", Issuer("acme", "ClusterIssuer"))
    book.ask(Scene([], [], 1), {other: None}, NOW)
    verdict = allowed(book, Cache(), ("seabreeze", spec), held, route, NOW).budget
    assert (verdict.turns == {}) is had


def test_when_a_certificate_was_asked_for_is_kept_with_its_ingress() -> None:
    base = hosted(ISSUED, budget=Verdict(asked={HOST: NOW}))
    _, issued = desire.routes(base)
    assert annotations_of(issued)["hoaconnect.com/certificates"] == f'{{"{HOST}":"2026-11-23T12:00:00Z"}}'
    assert annotations_of(issued)["cert-manager.io/cluster-issuer"] == "acme"


def test_trouble_with_a_domain_is_told_once_and_so_is_its_end() -> None:
    def looked(base: World, before: Json) -> Json:
        return build(Report(base.target.identity, before, NOW, world=base, plan=plan(base)))

    missing = looked(hosted(BROUGHT), {})
    again = looked(hosted(BROUGHT), missing)
    good = looked(hosted(BROUGHT, secrets={"portal-tls": GOOD_CERTIFICATE}), missing)
    waits = looked(hosted(ISSUED, budget=Verdict(turns={HOST: 3})), good)

    def told(before: Json, after: Json) -> list[tuple[str, str]]:
        return [(event.kind, event.reason) for event in events.transitions(before, after)]

    assert ("Warning", "CertificateSecretMissing") in told({}, missing)
    assert told(missing, again) == []
    assert told(missing, good) == [("Normal", "DomainsServed")]
    assert ("Normal", "WaitsForCertificateBudget") in told(good, waits)


@pytest.mark.parametrize("fault", [Fault("CertificateSecretInvalid", "is empty")])
def test_of_several_troubles_all_are_told(fault: Fault) -> None:
    domains = [{"host": HOST, "tls": BROUGHT}, {"host": "b.example", "tls": {"secretName": "other"}}]
    base = served(tenant_body(domains=domains), settings=settings(HOA_URL_SCHEME="https"))
    told = found(replace(base, domains=Domains({"other": fault})))
    assert told.reason == "CertificateSecretMissing"
    assert "Secret portal-tls does not exist" in told.message
    assert "Secret other is empty" in told.message


def test_dns_records_are_asked_for_only_where_the_installation_says_so() -> None:
    body = tenant_body(domains=[{"host": HOST}])
    (plain,) = desire.routes(served(body))
    assert not any(key.startswith("external-dns") for key in annotations_of(plain))
    (bare,) = desire.routes(served(body, settings=settings(HOA_EXTERNAL_DNS="true")))
    assert annotations_of(bare)["external-dns.alpha.kubernetes.io/hostname"] == f"seabreeze.hoaconnect.test,{HOST}"
    assert "external-dns.alpha.kubernetes.io/target" not in annotations_of(bare)
    configured = settings(HOA_EXTERNAL_DNS="true", HOA_EXTERNAL_DNS_TARGET="lb.hoa.example")
    (aimed,) = desire.routes(served(body, settings=configured))
    assert annotations_of(aimed)["external-dns.alpha.kubernetes.io/target"] == "lb.hoa.example"


def test_times_are_those_of_the_certificate() -> None:
    made = certificates.read(secret(*pem(HOST, start=datetime(2026, 11, 1, tzinfo=UTC), days=30)))
    assert isinstance(made, Certificate)
    assert (made.not_before, made.not_after) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))

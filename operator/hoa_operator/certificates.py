"""Reads TLS Secrets: whether what people or cert-manager put into one can serve a host, told in words. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from hoa_operator import names
from hoa_operator.kinds import annotations_of
from hoa_operator.tenant import Issuer

if TYPE_CHECKING:
    from datetime import datetime

    from hoa_operator.kinds import Object

_TYPE = "kubernetes.io/tls"


@dataclass(frozen=True)
class Certificate:
    """What a Secret's certificate is for, when it holds, and which issuer made it, if cert-manager put it there."""

    hosts: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    issuer: Issuer | None = None

    def covers(self, host: str) -> bool:
        """Tell whether a browser takes it for `host`; a wildcard stands for one label (RFC 6125, 6.4.3)."""
        parent = host.partition(".")[2]
        return any(name in (host, f"*.{parent}") for name in self.hosts)


@dataclass(frozen=True)
class Fault:
    """Why a Secret cannot be used: a reason and what is wrong."""

    reason: str
    message: str


def read(secret: Object) -> Certificate | Fault:
    """Return the certificate in a Secret of type kubernetes.io/tls, or what is wrong with it."""
    if secret.get("type") != _TYPE:
        return _invalid(f"is of type {secret.get('type') or 'Opaque'}, not {_TYPE}")
    data = secret.get("data") or {}
    try:
        pair = [base64.b64decode(data[key], validate=True) for key in ("tls.crt", "tls.key")]
    except (KeyError, binascii.Error):
        return _invalid("lacks the key tls.crt or tls.key")
    try:
        leaf = x509.load_pem_x509_certificates(pair[0])[0]
    except (ValueError, IndexError):
        return _invalid("holds no PEM certificate under tls.crt")
    try:
        key = load_pem_private_key(pair[1], None).public_key()
    except (ValueError, TypeError):
        return _invalid("holds no PEM private key without a passphrase under tls.key")
    mine, its = (one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (key, leaf.public_key()))
    if mine != its:
        return _invalid("holds a private key that is not its certificate's")
    return Certificate(_hosts(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc, _issuer(secret))


def trouble(certificate: Certificate | Fault, host: str, now: datetime) -> Fault | None:
    """Return why a Secret does not serve `host` now."""
    if isinstance(certificate, Fault):
        return certificate
    if not certificate.covers(host):
        return Fault("CertificateHostMismatch", f"is for {', '.join(certificate.hosts) or 'no host'}")
    if not certificate.not_before <= now < certificate.not_after:
        span = " to ".join(
            at.astimezone(UTC).date().isoformat() for at in (certificate.not_before, certificate.not_after)
        )
        return Fault("CertificateExpired", f"holds a certificate that is valid from {span}")
    return None


def _issuer(secret: Object) -> Issuer | None:
    name, kind = (
        annotations_of(secret).get(key) for key in (names.ANNOTATION_ISSUER_NAME, names.ANNOTATION_ISSUER_KIND)
    )
    return Issuer(name, kind) if name and kind else None


def _hosts(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in found.get_values_for_type(x509.DNSName))


def _invalid(message: str) -> Fault:
    return Fault("CertificateSecretInvalid", message)

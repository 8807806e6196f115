"""A certificate authority for one test run: no file of it is valid for longer than a day or outside loopback."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Issued:
    """A certificate (or a bare public key) and its private key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def public(self) -> Path:
        """The public key's file, where only a key pair was asked for."""
        return self.certificate


@dataclass(frozen=True)
class Authority:
    """Signs certificates into one folder."""

    folder: Path
    certificate: Path
    private: ec.EllipticCurvePrivateKey
    subject: x509.Name

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """Make a new authority in ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hoa-connect tests")])
        certificate = (
            _builder(subject, subject, private.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(private, hashes.SHA256())
        )
        path = folder / "ca.crt"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, path, private, subject)

    def issue(self, name: str, hosts: Sequence[str]) -> Issued:
        """Sign a serving certificate for ``hosts`` (names or addresses)."""
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, self.subject, private.public_key())
            .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
            .sign(self.private, hashes.SHA256())
        )
        issued = Issued(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        issued.key.write_bytes(_pem(private))
        return issued

    def key_pair(self, name: str) -> Issued:
        """Return a bare RSA key pair, made on first use."""
        issued = Issued(self.folder / f"{name}.pub", self.folder / f"{name}.key")
        if not issued.key.exists():
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            issued.key.write_bytes(_pem(private))
            issued.public.write_bytes(
                private.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
        return issued


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

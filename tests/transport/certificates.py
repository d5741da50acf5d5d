"""A certificate authority for one test run, and servers' certificates by it."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NOW = datetime.now(timezone.utc)
Key = ec.EllipticCurvePrivateKey


class Authority:
    """Signs certificates; ``file`` holds its own, for callers that should trust it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = self._certificate(self._name, self._key, 1, (constraints, True), (usage, True))
        self.file = directory / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def server(self, host: str, *, days: int = 1, self_signed: bool = False) -> ssl.SSLContext:
        """What a server called ``host`` (a name or an address) presents; ``days``: until it expires."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        try:
            known_as: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            known_as = x509.DNSName(host)
        names = x509.SubjectAlternativeName([known_as])
        certificate = self._certificate(name, key, days, (names, False), signer=key if self_signed else None)
        file = self._directory / f"{host}.{days}.{self_signed}.pem"
        file.write_bytes(
            certificate.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate(
        self,
        name: x509.Name,
        key: Key,
        days: int,
        *extensions: tuple[x509.ExtensionType, bool],
        signer: Key | None = None,
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            issuer_name=name if signer else self._name,
            subject_name=name,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=NOW - timedelta(days=9),
            not_valid_after=NOW + timedelta(days=days),
        )
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key((signer or self._key).public_key())
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        for extension, critical in (*extensions, (identifier, False), (own, False)):
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer or self._key, hashes.SHA256())

"""Certificates for etcd in tests: an authority, a server for 127.0.0.1 and localhost, a client."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass
class Pair:
    """Files of one certificate and its key."""

    cert: Path
    key: Path


class Certificates:
    """Written below `folder`; another folder is another authority."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {folder.name}")])
        self._made = self._signed("authority", self._name, self._key, None)
        self.ca = folder / "authority.crt"
        self.server = self._pair("server", ExtendedKeyUsageOID.SERVER_AUTH)
        self.client = self._pair("client", ExtendedKeyUsageOID.CLIENT_AUTH)

    def _pair(self, name: str, use: x509.ObjectIdentifier) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        self._signed(name, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key, use)
        return Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def _signed(
        self,
        file: str,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        use: x509.ObjectIdentifier | None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=use is None, path_length=None), critical=True)
        )
        if use is not None:
            hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            # Servers of etcd ask themselves over their own port, as clients.
            uses = [use, ExtendedKeyUsageOID.CLIENT_AUTH] if use != ExtendedKeyUsageOID.CLIENT_AUTH else [use]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        (self._folder / f"{file}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (self._folder / f"{file}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made

"""Certificates for connections to etcd, from files that are replaced while processes run.

What stands in them is looked at before gRPC gets it: of an empty file it ends the process (SIGABRT), and of
one that is half written no connection stands any more. Until the files are good again, those before go on.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from control.coordination.etcd.errors import EtcdError
from control.logs import get_logger
from control.settings.sections import EtcdSection
from control.settings.values import parse_endpoint

if TYPE_CHECKING:
    import grpc

log = get_logger("etcd")

Stamp = tuple[tuple[int, int, int], ...]
GONE = (0, 0, 0)


class Pem(NamedTuple):
    """Contents of the files; None: not named. `note`: what of them etcd may refuse."""

    ca: bytes | None
    key: bytes | None
    cert: bytes | None
    note: str = ""


def load_grpc() -> grpc:
    """gRPC, loaded when it is needed first: a process without etcd goes without its memory and threads."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc
    import grpc.aio

    return grpc


class Tls:
    """Read when a channel is opened."""

    def __init__(self, section: EtcdSection) -> None:
        self._section = section
        self._files = [Path(name) for name in (section.ca, section.key, section.cert) if name]
        said = [parse_endpoint(endpoint)[1] for endpoint in section.endpoints]
        self.used = bool(self._files) or True in said
        self.note = ""
        """what of the certificates in use etcd may refuse"""
        self._used: grpc.ChannelCredentials | None = None
        self._told = ""

    def stamp(self) -> Stamp:
        """Another one when a file has changed, has gone or is back."""
        return tuple(_stamp(file) for file in self._files)

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises EtcdError where the files are not good and none before were."""
        try:
            pem = read(self._section)
        except EtcdError as error:
            if self._used is None:
                raise
            if self._told != str(error):
                log.warning("certificates are not good, those before go on", reason=str(error))
            self._told = str(error)
            return self._used
        if pem.note and pem.note != self.note:
            log.warning("a certificate may be refused", reason=pem.note)
        self._told, self.note = "", pem.note
        self._used = load_grpc().ssl_channel_credentials(*pem[:3])
        return self._used


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return GONE
    return found.st_mtime_ns, found.st_ino, found.st_size


def read(section: EtcdSection) -> Pem:
    """All files, looked at. Raises EtcdError, which names the setting and the file."""
    ca, key, cert = (_read(section, name) for name in ("ca", "key", "cert"))
    if not (ca or key or cert):
        return Pem(None, None, None)
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    name = "ca"
    try:
        if ca:
            x509.load_pem_x509_certificates(ca)
        if key is None or cert is None:
            return Pem(ca, key, cert)
        name = "cert"
        shown = x509.load_pem_x509_certificates(cert)[0]
        name = "key"
        fits = load_pem_private_key(key, None).public_key() == shown.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = str(error).partition("\n")[0]
        raise EtcdError(f"etcd.{name}: {getattr(section, name)}: not to be read: {reason}") from None
    if not fits:
        raise EtcdError(f"etcd.key: {section.key} is not the key of etcd.cert {section.cert}")
    until, since, now = shown.not_valid_after_utc, shown.not_valid_before_utc, datetime.now(UTC)
    note = ""
    if not since <= now <= until:
        note = f"etcd.cert: {section.cert} is valid from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
    return Pem(ca, key, cert, note)


def _read(section: EtcdSection, name: str) -> bytes | None:
    file: str = getattr(section, name)
    if not file:
        return None
    try:
        found = Path(file).read_bytes()
    except OSError as error:
        raise EtcdError(f"etcd.{name}: {error}") from None
    if not found.strip():
        raise EtcdError(f"etcd.{name}: {file} is empty")
    return found

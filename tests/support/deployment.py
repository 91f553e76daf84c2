"""The examples of deploy/, run as they stand but for paths, ports and names of this machine."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.other_programs import environment
from tests.support.tree import ROOT

DEPLOY = ROOT / "deploy"
NOBODY = 10001
SEARCHED = "/usr/sbin:/sbin:/usr/local/sbin"


def example(name: str, changes: dict[str, str]) -> str:
    """The text of a file with these changes, each of which must find something to change."""
    text = (DEPLOY / name).read_text()
    for before, after in changes.items():
        assert before in text, f"{name} does not say {before!r} any more"
        text = text.replace(before, after)
    return text


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """(PEM of certificate and key for 127.0.0.1, a client's context that trusts it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "chat.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path, ssl.create_default_context(cafile=str(path))


def installed(name: str) -> str:
    """The path of a program; tools/system_packages.sh brings it."""
    found = shutil.which(name) or shutil.which(name, path=SEARCHED)
    assert found, f"{name} is missing: tools/system_packages.sh build test"
    return found


def installed_here(name: str) -> str:
    """The path of a program that a Python package of the tests brings."""
    found = Path(sys.executable).with_name(name)
    assert found.exists(), f"{name} is missing: make dev"
    return str(found)


@contextmanager
def running(words: list[str], port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that listens on `port`."""
    log = folder / "proxy.log"
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, cwd=folder, env=environment())
    try:
        until = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, f"nothing listens on {port}: {log.read_text()}"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def as_nobody() -> tuple[str, ...]:
    """Words before a command that give up every right but to read what is installed here."""
    if os.geteuid() != 0:
        return ()
    return (
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
        *(f"--{kind}=-all,+dac_read_search" for kind in ("inh-caps", "ambient-caps", "bounding-set")),
    )  # fmt: skip


def read_only_but(folder: Path) -> tuple[str, ...]:
    """Words before a command that may write to this folder alone; without root, none."""
    if os.geteuid() != 0:
        return ()
    return (sys.executable, "-m", "tests.support.sandbox", "read-only", str(folder), "--")


def owned(folder: Path, mode: int) -> Path:
    """A new folder of the user that the server runs as."""
    folder.mkdir()
    folder.chmod(mode)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder

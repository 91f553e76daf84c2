"""Handshakes, both ends in one process: ours, the noiseprotocol library, OpenSSL's TLS 1.3 over memory."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from noise.connection import Keypair, NoiseConnection
from pytest_benchmark.fixture import BenchmarkFixture

from crypto.noise import Initiator, generate_keypair, respond
from frame.constants import Suite

GROUP = "full handshake, both ends"
PROLOGUE = b"QW\x01\x01\x03\x00\x00\x01"


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("suite", [Suite.CHACHAPOLY, Suite.AEGIS128L])
def test_ours(benchmark: BenchmarkFixture, suite: Suite) -> None:
    private, public = generate_keypair()

    def work() -> bytes:
        initiator = Initiator(suite, PROLOGUE, public)
        response = respond(suite, PROLOGUE, private, initiator.message)
        _, channel = initiator.finish(response.message)
        return channel.handshake_hash

    assert len(benchmark(work)) == 32


@pytest.mark.benchmark(group=GROUP)
def test_ours_server_side_only(benchmark: BenchmarkFixture) -> None:
    private, public = generate_keypair()
    message = Initiator(Suite.AEGIS128L, PROLOGUE, public).message
    ephemeral, _ = generate_keypair()
    benchmark(respond, Suite.AEGIS128L, PROLOGUE, private, message, b"", ephemeral)


@pytest.mark.benchmark(group=GROUP)
def test_noiseprotocol_library(benchmark: BenchmarkFixture) -> None:
    private, public = generate_keypair()

    def work() -> bytes:
        client = NoiseConnection.from_name(b"Noise_NK_25519_ChaChaPoly_SHA256")
        server = NoiseConnection.from_name(b"Noise_NK_25519_ChaChaPoly_SHA256")
        client.set_as_initiator()
        server.set_as_responder()
        client.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, public)
        server.set_keypair_from_private_bytes(Keypair.STATIC, private)
        for end in (client, server):
            end.set_prologue(PROLOGUE)
            end.start_handshake()
        server.read_message(client.write_message())
        client.read_message(server.write_message())
        found: bytes = client.get_handshake_hash()
        return found

    assert len(benchmark(work)) == 32


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_file, key_file


@pytest.mark.benchmark(group=GROUP)
def test_openssl_tls13(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*_certificate(tmp_path))
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname = False
    client_side.verify_mode = ssl.CERT_NONE

    def work() -> str | None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_side.wrap_bio(down, up)
        server = server_side.wrap_bio(up, down, server_side=True)
        waiting = [client, server]
        while waiting:
            for end in list(waiting):
                try:
                    end.do_handshake()
                    waiting.remove(end)
                except ssl.SSLWantReadError:
                    continue
        return client.version()

    assert benchmark(work) == "TLSv1.3"

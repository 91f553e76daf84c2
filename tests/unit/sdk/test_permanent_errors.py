"""What no waiting changes is said at once, with its reason; the same after a login ends nothing."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import random
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from qianwan import CertificateError, Client, HandshakeRejected, KeySetError, SettingError
from qianwan.connection.dial import Dialer, DialSettings
from qianwan.light import _Deaf
from qianwan.protocol.keyset import encode_base64url
from qianwan.transport import Address

from tests.support.scripted_gateway import KeyRing, ScriptedGateway
from tests.support.sdk_client import client, until

SOON = 5.0  # seconds, well below the 20 that `open` waits for what may change


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate that only `folder/cert.pem` vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextlib.asynccontextmanager
async def https(folder: Path, body: bytes) -> AsyncIterator[int]:
    """Answers every request with `body`, over TLS; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate(folder))
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def dialer(**settings: Any) -> Dialer:
    return Dialer(DialSettings(**settings), device="d", rng=random.Random(1), clock=time.monotonic)


async def test_a_certificate_that_is_not_believed_is_an_error_at_once(tmp_path: Path) -> None:
    root = KeyRing().root_text
    async with https(tmp_path, b"{}") as port, asyncio.timeout(SOON):
        for place in (f"https://localhost:{port}", f"wss://localhost:{port}/qw1"):
            with pytest.raises(CertificateError, match="certificate"):
                await Client(place, token="alice", root_key=root).open()


async def test_tls_is_used_for_the_lbs_too(tmp_path: Path) -> None:
    keys = KeyRing()
    answer = {"gateways": [{"host": "gate", "port": 7801, "transport": "tcp"}], "root": keys.root_text}
    answer["key_set"] = encode_base64url(keys.key_set())
    async with https(tmp_path, json.dumps(answer).encode()) as port:
        believed = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        one = dialer(lbs_urls=(f"https://localhost:{port}",), tls=believed, unsigned_lbs=True)
        assert await one.addresses_for("token", False) == (Address("tcp", "gate", 7801),)
        assert one.server_key().key_id == keys.key_id


@pytest.mark.parametrize("url", ["http://lbs.example", "http://10.0.0.1:7800"])
async def test_a_missing_root_over_http_is_an_error_before_anything_is_asked(url: str) -> None:
    with pytest.raises(KeySetError, match="root_key"):
        await Client(url, token="alice").open()


async def test_a_wrong_root_is_an_error_at_once_and_never_after_a_login() -> None:
    async with ScriptedGateway() as gateway, asyncio.timeout(SOON):
        with pytest.raises(KeySetError, match="not signed by the pinned root"):
            await client(gateway, root_key=KeyRing().root_text).open()
        async with client(gateway) as alice:
            gateway.reject, gateway.reject_data = 3, KeyRing().key_set()  # somebody on the path
            next(iter(gateway.peers)).transport.abort()
            await until(lambda: len(gateway.greetings) >= 6)
            gateway.reject = gateway.reject_data = None
            assert (await alice.send("bob", "hello")).seq == 1


async def test_a_gateway_without_any_common_suite_is_an_error_at_once() -> None:
    async with ScriptedGateway() as gateway, asyncio.timeout(SOON):
        gateway.suites = set()
        with pytest.raises(HandshakeRejected, match=r"unsupported \(2\)"):
            await client(gateway).open()


WRONG: list[dict[str, Any]] = [
    {"device_id": "my phone"},
    {"device_id": ""},
    {"device_id": "x" * 65},
    {"token": ""},
    {"token": "tökén"},
    {"token": "x" * 593},
    {"platform": 256},
    {"signing_key": b"short"},
    {"where": "ftp://gate"},
    {"where": []},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
async def test_a_setting_that_can_never_work_is_named_before_anything_is_done(wrong: dict[str, Any]) -> None:
    settings = {"where": "gate.example", "token": "alice", "root_key": KeyRing().root_text} | wrong
    with pytest.raises(SettingError):
        Client(settings.pop("where"), **settings)


@pytest.mark.parametrize("suite", ["rot13", ""])
async def test_an_unknown_suite_is_named_at_once(suite: Any) -> None:
    with pytest.raises(SettingError, match="cipher suite"):
        await Client("gate", token="alice", root_key=KeyRing().root_text, suite=suite).open()


async def test_a_token_source_that_gives_no_token_is_named_at_once() -> None:
    async def source() -> str:
        return "x" * 600

    async with ScriptedGateway() as gateway, asyncio.timeout(SOON):
        with pytest.raises(SettingError, match="592 characters"):
            await client(gateway, token=source).open()


async def test_keys_that_are_over_are_asked_for_anew() -> None:
    """A device that slept for longer than its key set holds is not locked out by it."""
    async with ScriptedGateway() as gateway:
        old = gateway.keys.key_set(not_after=1000, issued=1)
        one = dialer(addresses=(Address.parse(gateway.address),), root_key=gateway.keys.root_text)
        one.remember_keys(encode_base64url(old))
        (await one.connect(_Deaf(), "t")).abort()
        assert one.server_key().key_id == gateway.keys.key_id


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
    ],
)
async def test_an_lbs_that_answers_garbage_is_passed_over(answer: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    built_in = (Address("tcp", "gate", 7801),)
    one = dialer(lbs_urls=(url,), addresses=built_in, root_key=KeyRing().root_text)
    assert await one.addresses_for("token", False) == built_in
    server.close()

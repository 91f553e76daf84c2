"""Requests to others: each ends within its budget and its bytes, and goes only where it may."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.outgoing.addresses import AddressPolicy
from control.outgoing.client import OutgoingClient
from control.outgoing.connections import HEAD_BYTES, HEAD_READ, LOOK_S
from control.outgoing.errors import OutgoingError
from tests.support.asked_server import (
    Answers,
    AskedServer,
    answer,
    asked_server,
    drip,
    endless,
    hangs_up,
    never,
    no_http,
    whole,
)
from tests.support.asked_server import Asked as HttpAsked
from tests.support.etcd_certificates import Certificates
from tests.support.push_vendor import Asked, Does, Drop, GoAway, PushVendor, Reset, Say

TEN_MEGABYTES = answer(200, b"x" * 10_000_000)
HERE = AddressPolicy(["127.0.0.0/8"], plain=True)


@pytest.fixture
async def server() -> AsyncIterator[AskedServer]:
    async with asked_server() as found:
        yield found


@pytest.fixture
async def client() -> AsyncIterator[OutgoingClient]:
    found = OutgoingClient(HERE)
    yield found
    await found.close()


async def trouble(client: OutgoingClient, url: str, budget_s: float = 30.0) -> str:
    with pytest.raises(OutgoingError) as raised:
        await client.post(url, {}, b"{}", budget_s=budget_s, answer_bytes=1000)
    return raised.value.kind


async def test_an_answer_comes_with_its_status_and_headers(
    server: AskedServer, client: OutgoingClient
) -> None:
    server.answers = answer(201, b"ok", "X-One: 1\r\n")
    found = await client.post(server.url, {"X-Ours": "2"}, b'{"a":1}', budget_s=30, answer_bytes=2)
    assert (found.status, found.headers["x-one"], found.body, found.good) == (201, "1", b"ok", True)
    assert server.asked[0].headers["x-ours"] == "2"
    assert json.loads(server.asked[0].body) == {"a": 1}


async def test_requests_share_connections(server: AskedServer, client: OutgoingClient) -> None:
    for _ in range(5):
        await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)
    assert server.connections == 1


async def test_a_redirect_is_an_answer_and_followed_by_nobody(
    server: AskedServer, client: OutgoingClient
) -> None:
    server.answers = answer(302, b"", f"Location: {server.url}/other\r\n")
    found = await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)
    assert (found.status, found.good) == (302, False)
    assert len(server.asked) == 1


@pytest.mark.parametrize("answers", [never, drip], ids=["silent", "slow drip"])
async def test_a_request_ends_with_its_budget(
    server: AskedServer, client: OutgoingClient, answers: Answers
) -> None:
    server.answers = answers
    assert await trouble(client, server.url, 0.3) == "timeout"


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (endless, "large"),
        (answer(200, b"x" * 10_000_000), "large"),
        (hangs_up, "broken"),
        (no_http, "broken"),
    ],
    ids=["endless", "ten megabytes", "closed in the middle", "no HTTP"],
)
async def test_a_wrong_answer_is_told_by_kind(
    server: AskedServer, client: OutgoingClient, answers: Answers, kind: str
) -> None:
    server.answers = answers
    assert await trouble(client, server.url) == kind


async def test_after_many_that_ended_badly_the_next_one_is_answered(server: AskedServer) -> None:
    client = OutgoingClient(HERE, connections=4)
    for answers in (never, endless, hangs_up, drip):
        server.answers = answers
        await asyncio.gather(*(trouble(client, server.url, 0.2) for _ in range(8)))
    server.answers = answer()
    found = await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)
    assert found.good
    await client.close()


async def test_http2_connections_that_break_wear_no_client(tmp_path: Path) -> None:
    """More of them than the pool has, one way after the other; what answers afterwards is asked at once."""
    trouble: tuple[Does, ...] = (GoAway(), GoAway(processed=True), Drop(), Reset())

    def answer(asked: Asked) -> Does:
        return trouble[asked.number % 4] if asked.number < 24 else Say()

    async with PushVendor(tmp_path, answer) as vendor:
        ca = vendor.certificates.ca
        client = OutgoingClient(HERE, ca_file=ca, http2=True, connections=2)

        async def ask() -> str:
            try:
                found = await client.post(vendor.url, {}, b"{}", budget_s=20, answer_bytes=1000)
                return str(found.status)
            except OutgoingError as error:
                return error.kind

        while len(vendor.asked) < 24:
            assert set(await asyncio.gather(*(ask() for _ in range(5)))) <= {"broken", "200"}
        assert await asyncio.gather(*(ask() for _ in range(20))) == ["200"] * 20
        await client.close()
        assert await ask() == "closed"


async def test_nobody_there_and_no_such_name(server: AskedServer, client: OutgoingClient) -> None:
    await server.stop()
    assert await trouble(client, server.url) == "connect"
    assert await trouble(client, "http://nobody.invalid/") == "connect"


async def test_the_proxy_of_the_environment_is_not_asked(
    server: AskedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = OutgoingClient(HERE)
    found = await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)
    assert found.good
    await client.close()


def tls_of(certificates: Certificates) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificates.server.cert, certificates.server.key)
    return tls


def surplus(number: int) -> Answers:
    """An answer, and behind that of one request another one, as if it were that to the next."""

    async def run(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
        own = whole(200, asked.body)
        writer.write(own + whole(200, b'"a stranger"') if asked.body == b"%d" % number else own)

    return run


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("spoilt", [0, 3], ids=["first", "fourth"])
async def test_an_answer_too_many_is_that_to_nobody(secure: bool, spoilt: int, tmp_path: Path) -> None:
    """Requests follow at once: what is read is never what was said to another one."""
    certificates = Certificates(tmp_path)
    async with asked_server(tls_of(certificates) if secure else None) as server:
        client = OutgoingClient(HERE, ca_file=certificates.ca)
        server.answers = surplus(spoilt)
        for number in range(20):
            asked = b"%d" % number
            found = await client.post(server.url, {}, asked, budget_s=30, answer_bytes=1000)
            assert found.body == asked
        assert server.connections == 2
        await client.close()


@pytest.mark.parametrize("length", [2048, 4096, 65_536, 200_000], ids=str)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_an_answer_that_ends_where_a_read_does_hides_nothing(
    secure: bool, length: int, tmp_path: Path
) -> None:
    """Head and body are so long together, and what is too much lies in the same segment or begins there."""
    certificates = Certificates(tmp_path)
    async with asked_server(tls_of(certificates) if secure else None) as server:
        client = OutgoingClient(HERE, ca_file=certificates.ca)

        async def padded(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
            head = len(whole(200, b"x" * length)) - length
            own = whole(200, asked.body.ljust(length - head))
            assert len(own) == length
            writer.write(own + whole(200, b'"a stranger"'))

        server.answers = padded
        for number in range(6):
            asked = b"%d" % number
            found = await client.post(server.url, {}, asked, budget_s=30, answer_bytes=300_000)
            assert found.body.strip() == asked
        assert server.connections == 6
        await client.close()


async def test_bytes_that_come_when_nobody_asked_end_the_connection(
    server: AskedServer, client: OutgoingClient
) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def keep(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(whole(200, asked.body))

    server.answers = keep
    for number in range(4):
        asked = b"%d" % number
        found = await client.post(server.url, {}, asked, budget_s=30, answer_bytes=1000)
        assert found.body == asked
        writers[-1].write(whole(200, b'"a stranger"'))
    assert server.connections == 4


async def test_what_comes_before_an_answer_is_bounded_and_others_go_on(
    server: AskedServer, client: OutgoingClient
) -> None:
    """1xx without an end: one is let through, thousands are not, and the loop turns in between."""

    async def flood(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000)
            await writer.drain()

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    server.answers = flood
    running = asyncio.create_task(others())
    assert await trouble(client, server.url) == "broken"
    running.cancel()
    assert turns >= HEAD_BYTES // HEAD_READ

    async def one(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole(200, b"{}"))

    server.answers = one
    assert (await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)).good


async def test_what_chunks_are_wrapped_in_is_bounded(server: AskedServer, client: OutgoingClient) -> None:
    async def wrapped(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1;" + b"x" * 60_000 + b"\r\n \r\n")
            await writer.drain()

    server.answers = wrapped
    assert await trouble(client, server.url) == "broken"

    async def small(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n")

    server.answers = small
    found = await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)
    assert found.body == b"x" * 1000


async def test_another_protocol_is_no_answer(server: AskedServer, client: OutgoingClient) -> None:
    async def switches(asked: HttpAsked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")

    server.answers = switches
    assert await trouble(client, server.url) == "broken"


async def test_a_name_that_means_a_private_address_is_not_called(server: AskedServer) -> None:
    client = OutgoingClient(AddressPolicy(plain=True))
    assert await trouble(client, f"http://localhost:{server.port}/") == "address"
    assert server.connections == 0
    await client.close()


async def test_closing_ends_what_is_under_way(server: AskedServer) -> None:
    client = OutgoingClient(HERE)
    server.answers = never
    waiting = asyncio.create_task(trouble(client, server.url))
    await server.until(1)
    await client.close()
    assert await waiting == "closed"
    assert await trouble(client, server.url) == "closed"


async def test_whoever_gives_up_frees_its_connection(server: AskedServer) -> None:
    client = OutgoingClient(HERE, connections=1)
    server.answers = never
    waiting = asyncio.create_task(trouble(client, server.url))
    await server.until(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    server.answers = answer()
    assert (await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)).good
    await client.close()


async def test_certificates_are_verified(tmp_path: Path) -> None:
    made, other = Certificates(tmp_path / "one"), Certificates(tmp_path / "two")
    async with asked_server(tls_of(made)) as server:
        good = OutgoingClient(AddressPolicy(["127.0.0.1"]), ca_file=made.ca)
        assert (await good.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)).good
        await good.close()
        for ca_file in (None, other.ca):
            bad = OutgoingClient(AddressPolicy(["127.0.0.1"]), ca_file=ca_file)
            assert await trouble(bad, server.url) == "tls"
            await bad.close()


async def test_a_connection_that_its_server_closed_is_not_used_again(
    server: AskedServer, client: OutgoingClient
) -> None:
    for _ in range(3):
        assert (await client.post(server.url, {}, b"{}", budget_s=30, answer_bytes=1000)).good
        await server.stop()
        await server.start()
        await asyncio.sleep(2 * LOOK_S)  # so long it may pass for open
    assert server.connections == 3

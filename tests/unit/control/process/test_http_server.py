"""The HTTP server is bounded in connections and in time, and ordinary requests notice nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from control.process import http_protocol, http_server
from control.process.http_protocol import Bounds
from control.process.http_server import HttpServer
from tests.support.sdk_client import until
from tests.support.server_process import free_ports

GET = b"GET /size HTTP/1.1\r\nHost: h\r\n\r\n"
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """A server of some little routes, and connections to it."""

    def __init__(self, server: HttpServer, port: int, release: asyncio.Event) -> None:
        self.server, self.port, self.release = server, port, release

    async def connect(self, first: bytes = b"", of: str = "127.0.0.1") -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(of, 0))
        writer.write(first)
        return reader, writer


@asynccontextmanager
async def served(bounds: Bounds) -> AsyncIterator[Served]:
    release = asyncio.Event()

    async def size(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def hold(_: Request) -> Response:
        await release.wait()
        return PlainTextResponse("held")

    async def begun(_: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"b"
            await release.wait()
            yield b"egun"

        return StreamingResponse(chunks(), headers={"Content-Length": "5"})

    async def endless(_: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield bytes(65536)
                await asyncio.sleep(0)

        return StreamingResponse(chunks())

    routes = [
        Route("/size", size, methods=["GET", "POST"]),
        Route("/hold", hold),
        Route("/begun", begun),
        Route("/endless", endless),
    ]
    (port,) = free_ports(1)
    server = HttpServer(Starlette(routes=routes), "127.0.0.1", port, bounds)
    await server.start()
    try:
        yield Served(server, port, release)
    finally:
        release.set()
        await server.stop(at_once=True)


async def answer(stream: Stream) -> bytes:
    head = await stream[0].readuntil(b"\r\n\r\n")
    return head.split(b"\r\n")[0] + b" " + await stream[0].readexactly(1)


async def ended_after(stream: Stream, rest: bytes) -> bool:
    assert await stream[0].readexactly(len(rest)) == rest
    return stream[0].at_eof()


async def ended(stream: Stream) -> bool:
    try:
        async with asyncio.timeout(10):
            return await stream[0].read(1) == b""
    except ConnectionError:
        return True


async def test_who_does_not_send_their_whole_request_in_time_is_closed() -> None:
    bounds = Bounds(connections=10, request_s=0.3)
    body = b"POST /size HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf"
    async with served(bounds) as here:
        for begun in (b"", b"GET /si", b"GET /size HTTP/1.1\r\nX: ", body):
            assert await ended(await here.connect(begun)), begun
        assert bounds.late == 4
        trickle = await here.connect(b"GET /size HTTP/1.1\r\n")
        async with asyncio.timeout(10):
            while not trickle[0].at_eof():
                trickle[1].write(b"X-A: 1\r\n")
                await asyncio.sleep(0.02)
                if trickle[1].is_closing() or bounds.late == 5:
                    break
        assert await ended(trickle), "bytes that trickle in do not hold a connection"


async def test_requests_one_after_another_and_slow_answers_are_no_lateness() -> None:
    bounds = Bounds(connections=10, request_s=0.3)
    async with served(bounds) as here:
        stream = await here.connect()
        for _ in range(3):
            stream[1].write(GET)
            assert await answer(stream) == b"HTTP/1.1 200 OK 0"
        stream[1].write(GET + GET)
        assert [await answer(stream) for _ in "ab"] == [b"HTTP/1.1 200 OK 0"] * 2
        held = await here.connect(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await ended(stream)
        here.release.set()
        assert await answer(held) == b"HTTP/1.1 200 OK h"
    assert bounds.waiting == {}


async def test_idle_connections_make_room_for_a_new_one_the_longest_first() -> None:
    bounds = Bounds(connections=3, request_s=60)
    async with served(bounds) as here:
        idle = [await here.connect() for _ in range(3)]
        await until(lambda: len(bounds.waiting) == 3)
        fresh = await here.connect(GET)
        assert await answer(fresh) == b"HTTP/1.1 200 OK 0"
        assert await ended(idle[0])
        idle[1][1].write(GET)
        assert await answer(idle[1]) == b"HTTP/1.1 200 OK 0"


async def test_when_all_are_being_answered_the_new_one_is_closed() -> None:
    bounds = Bounds(connections=2, request_s=60)
    async with served(bounds) as here:
        held = [await here.connect(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n") for _ in range(2)]
        await until(lambda: len(here.server._server.server_state.tasks) == 2)
        assert await ended(await here.connect(GET))
        here.release.set()
        assert [await answer(stream) for stream in held] == [b"HTTP/1.1 200 OK h"] * 2


async def test_requests_that_stand_behind_one_another_keep_no_place_from_a_newcomer() -> None:
    bounds = Bounds(connections=16, request_s=60)  # and a hall for 2, 1 of one network
    hold = b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n"
    async with served(bounds) as here:
        greedy = [await here.connect(hold * 2 + GET * 50) for _ in range(16)]
        await until(lambda: len(here.server._server.server_state.tasks) == 16)
        newcomer = await here.connect(GET)
        await until(lambda: len(bounds.hall) == 1)
        assert await ended(await here.connect(GET)), "one network has one place in the hall"
        assert bounds.refused == 1
        other = await here.connect(GET, "127.0.0.2")
        await until(lambda: len(bounds.hall) == 2)
        here.release.set()
        assert await answer(newcomer) == b"HTTP/1.1 200 OK 0"
        assert await answer(other) == b"HTTP/1.1 200 OK 0"
        answers = [await stream[0].read() for stream in greedy]
        closed = [each for each in answers if b"connection: close" in each]
        assert len(closed) >= 2
        assert all(each.endswith(b"held") and each.count(b"HTTP/1.1 200") == 1 for each in closed)
    assert bounds.refused == 1
    assert not bounds.hall


async def test_who_keeps_a_place_for_a_flood_gets_their_answers_all_the_same() -> None:
    """Every connection of many requests is answered once at least, and newcomers come in among them."""
    bounds = Bounds(connections=16, request_s=60)
    async with served(bounds) as here:
        floods = [await here.connect(GET * 200) for _ in range(16)]
        for _ in range(20):
            assert await answer(await here.connect(GET)) == b"HTTP/1.1 200 OK 0"
        assert all([await answer(stream) == b"HTTP/1.1 200 OK 0" for stream in floods])
    assert bounds.refused == 0


async def test_a_newcomer_waits_for_an_answer_that_had_begun_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bounds = Bounds(connections=8, request_s=60)
    begun = b"GET /begun HTTP/1.1\r\nHost: h\r\n\r\n"
    async with served(bounds) as here:
        held = [await here.connect(begun) for _ in range(8)]
        for stream in held:
            assert await answer(stream) == b"HTTP/1.1 200 OK b"
        newcomer = await here.connect(GET)
        await until(lambda: len(bounds.hall) == 1)
        here.release.set()
        assert await answer(newcomer) == b"HTTP/1.1 200 OK 0"
        assert any([await ended_after(stream, b"egun") for stream in held])
    monkeypatch.setattr(http_protocol, "HALL_S", 0.2)
    async with served(bounds := Bounds(connections=8, request_s=60)) as here:
        held = [await here.connect(begun) for _ in range(8)]
        for stream in held:
            assert await answer(stream) == b"HTTP/1.1 200 OK b"
        assert await ended(await here.connect(GET))
        assert bounds.refused == 1
        gone = await here.connect(GET)
        await until(lambda: len(bounds.hall) == 1)
        gone[1].close()
        await until(lambda: not bounds.hall)


async def test_who_does_not_read_their_answer_is_ended() -> None:
    bounds = Bounds(connections=10, request_s=0.5)
    async with served(bounds) as here:
        reader, writer = await here.connect(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
        state = here.server._server.server_state
        await until(lambda: len(state.tasks) == 1)
        writer.transport.pause_reading()
        await until(lambda: not state.connections, timeout_s=30)
        assert reader is not None


async def test_a_stop_at_once_waits_for_nobody() -> None:
    async with served(Bounds(connections=10, request_s=60)) as here:
        held = await here.connect(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
        await until(lambda: len(here.server._server.server_state.tasks) == 1)
        async with asyncio.timeout(2):
            await here.server.stop(at_once=True)
        assert (await held[0].read()).startswith(b"HTTP/1.1 503 ")


async def test_who_is_still_waiting_at_the_end_is_told_so_and_nothing_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http_server, "GRACE_S", 1)
    async with served(Bounds(connections=10, request_s=60)) as here:
        held = await here.connect(b"GET /hold HTTP/1.1\r\nHost: h\r\n\r\n")
        begun = await here.connect(b"GET /begun HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await answer(begun) == b"HTTP/1.1 200 OK b"
        await until(lambda: len(here.server._server.server_state.tasks) == 2)
        await here.server.stop()
        assert (await held[0].read()).startswith(b"HTTP/1.1 503 ")
        assert await ended(begun)
    assert not [record for record in caplog.records if record.exc_info]

"""Idempotency-Key over two control processes on one real store: one does it, both have its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from control.api import errors
from control.api.idempotency import LEASE_S, Idempotency, replayable
from control.im.replays import ReplayKeeper
from control.settings.sections import LimitsSection
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.storage.errors import StoreUnavailable
from im_service.storage.sqlite import SqliteStore

Handle = Callable[[], Awaitable[Response]]


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000

    def now_ms(self) -> int:
        return self.ms


class Im:
    """The im process as control sees it, its arguments as they come over the bus."""

    def __init__(self, keeper: ReplayKeeper) -> None:
        self._keeper = keeper
        self.gone = False

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        if self.gone:
            raise ImError(Code.UNAVAILABLE, "no message service can be reached")
        return await self._keeper.call(method, msgspec.Raw(msgspec.msgpack.encode(arguments)))


class Api:
    """Two control processes with one route, whose work the test decides."""

    def __init__(self, im: Im, clock: Clock, limits: LimitsSection) -> None:
        self.im = im
        self.clock = clock
        self.done = 0
        self.handle: Handle = self.answer
        self._clients = [self._client(limits) for _ in range(2)]

    def _client(self, limits: LimitsSection) -> httpx.AsyncClient:
        app, keys = FastAPI(), Idempotency(self.im, limits)
        errors.install(app)

        @app.post("/things")
        async def things(request: Request) -> Response:
            request.state.api_key_text = request.headers["secret"]
            return await replayable(keys, request, request.headers["owner"], self.handle)

        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://control")

    async def answer(self) -> Response:
        self.done += 1
        return Response(b'{"done": %d}' % self.done, 201, media_type="application/json")

    async def post(
        self, key: str | None, body: str = "a", owner: str = "one", process: int = 0, secret: str = "s"
    ) -> httpx.Response:
        headers = {"owner": owner, "secret": secret} | ({"Idempotency-Key": key} if key is not None else {})
        return await self._clients[process].post("/things", content=body, headers=headers)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store, clock = SqliteStore(tmp_path / "store.sqlite3"), Clock()
    await store.start()
    made = Api(Im(ReplayKeeper(store, clock)), clock, LimitsSection(idempotency_answer_bytes=1024))
    yield made
    await made.close()
    await store.stop()


def refused(response: httpx.Response, status: int, slug: str) -> None:
    assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (status, slug)


async def test_every_process_gives_the_first_answer_again(api: Api) -> None:
    first, again, other = [await api.post("k", process=process) for process in (0, 0, 1)]
    assert first.status_code == again.status_code == other.status_code == 201
    assert first.json() == again.json() == other.json() == {"done": 1}
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == other.headers["idempotent-replayed"] == "true"
    assert other.headers["content-type"] == "application/json"
    refused(await api.post("k", "another body", process=1), 422, "idempotency-mismatch")
    assert [(await api.post(key)).json()["done"] for key in (None, None, "l")] == [2, 3, 4]
    assert (await api.post("k", owner="two")).json()["done"] == 5, "keys of API keys are apart"
    refused(await api.post("a b"), 422, "invalid")


async def test_the_store_cannot_read_what_was_answered(api: Api, tmp_path: Path) -> None:
    async def token() -> Response:
        return Response(b'{"token": "of-ida"}', 201, media_type="application/json")

    api.handle = token
    answers = [(await api.post("k")).json() for _ in range(2)]
    assert answers == [{"token": "of-ida"}] * 2
    for name in ("store.sqlite3", "store.sqlite3-wal"):
        assert b"of-ida" not in await asyncio.to_thread((tmp_path / name).read_bytes)
    guessed = await api.post("k", secret="")
    assert "of-ida" not in guessed.text, "the short word of the request alone opens nothing"


async def test_an_answer_is_forgotten_when_its_time_is_over(api: Api) -> None:
    assert (await api.post("k")).json()["done"] == 1
    api.clock.ms += LimitsSection().idempotency_ttl_s * 1000 - 1
    assert (await api.post("k")).json()["done"] == 1
    api.clock.ms += 1
    assert (await api.post("k")).json()["done"] == 2


async def test_of_many_at_once_one_does_it(api: Api) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    async def slow() -> Response:
        going.set()
        await go.wait()
        return await api.answer()

    api.handle = slow
    first = asyncio.create_task(api.post("k"))
    await going.wait()
    for response in await asyncio.gather(*(api.post("k", process=n % 2) for n in range(10))):
        refused(response, 409, "idempotency-in-progress")
        assert response.headers["retry-after"]
    go.set()
    assert (await first).json() == (await api.post("k", process=1)).json() == {"done": 1}


async def test_a_refusal_frees_the_key(api: Api) -> None:
    async def refuse() -> Response:
        raise ImError(Code.CONFLICT, "no")

    api.handle = refuse
    assert (await api.post("k")).status_code == 409
    api.handle = api.answer
    assert (await api.post("k", "corrected")).json()["done"] == 1


async def lost() -> Response:
    raise ImError(Code.TIMEOUT, "the message service did not answer in time")


async def broken() -> Response:
    raise RuntimeError("a fault")


@pytest.mark.parametrize("failure", [lost, broken])
async def test_what_may_have_been_done_is_not_done_again_before_the_lease_ends(
    api: Api, failure: Handle
) -> None:
    api.handle = failure
    assert (await api.post("k")).status_code in (500, 504)
    api.handle = api.answer
    refused(await api.post("k", process=1), 409, "idempotency-in-progress")
    api.clock.ms += int(LEASE_S * 1000)
    assert (await api.post("k", process=1)).json()["done"] == 1


async def test_a_large_answer_is_not_kept_and_its_request_not_repeated(api: Api) -> None:
    async def large() -> Response:
        api.done += 1
        return Response(b"1" * 1025, media_type="application/json")

    api.handle = large
    assert (await api.post("k")).status_code == 200
    refused(await api.post("k", process=1), 409, "idempotency-answer-not-kept")
    assert api.done == 1


async def test_without_a_store_nothing_is_done_under_a_key(api: Api) -> None:
    api.im.gone = True
    refused(await api.post("k"), 503, "unavailable")
    assert (await api.post(None)).json()["done"] == 1


async def test_an_answer_stands_when_it_cannot_be_filed(api: Api) -> None:
    async def last() -> Response:
        api.im.gone = True
        return await api.answer()

    api.handle = last
    assert (await api.post("k")).json()["done"] == 1
    api.im.gone = False
    refused(await api.post("k"), 409, "idempotency-in-progress")


async def test_a_store_that_takes_no_commit_says_why(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*words: object) -> None:
        raise StoreUnavailable("store.sqlite3: the disk is full")

    monkeypatch.setattr(api.im._keeper._store, "begin_request", full)
    answer = await api.post("k")
    refused(answer, 503, "unavailable")
    assert answer.json()["detail"] == "no Idempotency-Key can be kept: store.sqlite3: the disk is full"

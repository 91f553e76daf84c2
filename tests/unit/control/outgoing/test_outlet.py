"""One place that is asked: one attempt, so many at once, and its breaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from standardwebhooks.webhooks import Webhook

from control.outgoing.addresses import AddressPolicy
from control.outgoing.breaker import Rules
from control.outgoing.client import OutgoingClient
from control.outgoing.errors import OutgoingError
from control.outgoing.outlet import Bounds, Outlet
from control.outgoing.signing import Signer, make_secret
from im_service.ports import SystemClock
from tests.support.asked_server import AskedServer, answer, asked_server, hangs_up, never

SECRET = make_secret()


@pytest.fixture
async def server() -> AsyncIterator[AskedServer]:
    async with asked_server() as found:
        yield found


@pytest.fixture
async def client() -> AsyncIterator[OutgoingClient]:
    found = OutgoingClient(AddressPolicy(["127.0.0.0/8"], plain=True))
    yield found
    await found.close()


def outlet(client: OutgoingClient, server: AskedServer, bounds: Bounds, wait_ms: int = 60_000) -> Outlet:
    rules = Rules(failures=3, window=3, wait_ms=wait_ms)
    return Outlet(client, SystemClock(), server.url, Signer([SECRET]), bounds, rules)


async def trouble(place: Outlet) -> str:
    with pytest.raises(OutgoingError) as raised:
        await place.ask("id", b"{}", bytes)
    return raised.value.kind


async def test_a_request_is_signed_and_its_answer_read(server: AskedServer, client: OutgoingClient) -> None:
    place = outlet(client, server, Bounds(30))
    assert await place.ask("msg_1", b'{"a":1}', len) == 2
    asked = server.asked[0]
    assert Webhook(SECRET).verify(asked.body, asked.headers) == {"a": 1}
    assert (asked.headers["webhook-id"], asked.headers["content-type"]) == ("msg_1", "application/json")


@pytest.mark.parametrize("status", [201, 202, 204, 206, 302, 400, 404, 429, 500])
async def test_every_status_but_200_is_a_failure(
    server: AskedServer, client: OutgoingClient, status: int
) -> None:
    server.answers = answer(status)
    assert await trouble(outlet(client, server, Bounds(30))) == "status"


async def test_an_answer_that_cannot_be_read_is_a_failure_of_the_place(
    server: AskedServer, client: OutgoingClient
) -> None:
    place = outlet(client, server, Bounds(30))
    server.answers = answer(200, b"x")
    for _ in range(3):
        with pytest.raises(OutgoingError, match="invalid literal"):
            await place.ask("id", b"{}", int)
    assert await trouble(place) == "open"


async def test_a_dead_place_is_asked_no_more_and_a_living_one_again(
    server: AskedServer, client: OutgoingClient
) -> None:
    place = outlet(client, server, Bounds(30), wait_ms=1)
    server.answers = hangs_up
    for _ in range(3):
        assert await trouble(place) == "broken"
    assert place.breaker.opened == 1
    server.answers = answer()
    async with asyncio.timeout(60):
        while place.state() != "half_open":  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert await place.ask("id", b"{}", bytes) == b"{}"
    assert place.state() == "closed"


async def test_so_many_at_once_and_so_many_wait(server: AskedServer, client: OutgoingClient) -> None:
    place = outlet(client, server, Bounds(30, at_once=2, waiting=3))
    server.answers = never
    waiting = [asyncio.create_task(trouble(place)) for _ in range(5)]
    await server.until(2)
    assert await trouble(place) == "busy"
    assert (len(server.asked), place.asked) == (2, 5)
    await client.close()
    assert await asyncio.gather(*waiting) == ["closed"] * 5
    assert (place.asked, place.state()) == (0, "closed")


async def test_whoever_waits_for_a_turn_has_no_more_time_than_its_budget(
    server: AskedServer, client: OutgoingClient
) -> None:
    place = outlet(client, server, Bounds(0.3, at_once=1, waiting=3))
    server.answers = never
    found = await asyncio.gather(*(trouble(place) for _ in range(3)))
    assert found[0] == "timeout"
    assert set(found[1:]) <= {"busy", "timeout"}
    assert len(server.asked) <= 3

"""Events reach an endpoint, whatever it does meanwhile: each at least once, in order, none that is not."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from control.outbox.delivery import Delivery, End, Tally, Task
from control.outbox.sink import Verdict
from control.outbox.webhook import Webhook
from control.outgoing.addresses import AddressPolicy
from control.outgoing.client import Answer, OutgoingClient
from control.outgoing.signing import Signer, make_secret
from im_service.outbox.ports import EventFilter
from im_service.outbox.window import Rules
from im_service.ports import SystemClock
from im_service.storage.errors import StoreUnavailable
from im_service.storage.event_records import NewEvent
from im_service.storage.records import DeadLetter as Letter
from tests.support.event_log import MemoryEventLog
from tests.support.sdk_client import until as soon
from tests.support.webhook_receiver import Got, Receiver, receiving, status

QUICK = Rules(first_ms=2, longest_ms=20, suspect_ms=20, give_up_ms=60, events=200, spread=400)
PATIENCE_S = 30


class MemoryLetters:
    def __init__(self) -> None:
        self.kept: list[Letter] = []
        self.told: list[NewEvent] = []
        self.broken = False

    async def bury(self, letter: Letter) -> int:
        if self.broken:
            raise StoreUnavailable("away")
        self.kept.append(letter)
        return len(self.kept)

    async def tell(self, *new: NewEvent) -> None:
        if self.broken:
            raise StoreUnavailable("away")
        self.told += new


class Hurried(OutgoingClient):
    """Waits for each answer as long as it is told now."""

    budget_s = 60.0

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, budget_s: float, answer_bytes: int
    ) -> Answer:
        return await super().post(url, headers, body, budget_s=self.budget_s, answer_bytes=answer_bytes)


@dataclass
class World:
    receiver: Receiver
    client: Hurried
    log: MemoryEventLog = field(default_factory=MemoryEventLog)
    letters: MemoryLetters = field(default_factory=MemoryLetters)
    tally: Tally = field(default_factory=Tally)
    secret: str = field(default_factory=make_secret)

    def delivery(
        self, batch: int = 10, rules: Rules = QUICK, disable_after_ms: int = 1 << 40, **task: object
    ) -> Delivery:
        signer = Signer([self.secret])
        sink = Webhook(self.client, SystemClock(), self.receiver.url, lambda: signer, "qianwan")
        given = {
            "name": "shop",
            "group": "endpoint.shop",
            "wanted": EventFilter(),
            "batch": batch,
            "begin": "c0",
        }
        made = Task(**{**given, **task})
        return Delivery(
            made, sink, self.log, self.letters, SystemClock(), self.tally, rules=rules,
            disable_after_ms=disable_after_ms,
        )  # fmt: skip

    def check(self) -> None:
        """Every event at least once; the first time of each in the order of its subject."""
        by_id = {event.event_id: event for event in self.log.events}
        first: dict[str, list[str]] = defaultdict(list)
        for event in self.receiver.taken:
            assert event["event_id"] in by_id, "nothing that was not committed"
            if event["event_id"] not in first[event["subject"]]:
                first[event["subject"]].append(event["event_id"])
        expected: dict[str, list[str]] = defaultdict(list)
        for event in self.log.events:
            expected[event.subject].append(event.event_id)
        assert first == expected


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with receiving() as receiver:
        client = Hurried(AddressPolicy(["127.0.0.0/8"], plain=True))
        yield World(receiver, client)
        await client.close()


@asynccontextmanager
async def running(delivery: Delivery) -> AsyncIterator[asyncio.Task[End]]:
    task = asyncio.create_task(delivery.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    await soon(true, PATIENCE_S)


def talk(world: World, count: int, subjects: int = 7) -> None:
    for number in range(count):
        world.log.put("message.single", f"s/{number % subjects}")


def done(world: World, delivery: Delivery) -> Callable[[], bool]:
    return lambda: delivery.place == f"c{len(world.log.events)}" and delivery.window is not None


async def test_events_come_signed_in_batches_and_the_place_is_kept(world: World) -> None:
    talk(world, 60)
    delivery = world.delivery()
    async with running(delivery):
        await until(done(world, delivery))
        talk(world, 3)  # while it waits
        await until(done(world, delivery))
    world.check()
    assert world.log.kept["endpoint.shop"].cursor == "c63"
    verifier = Verifier(world.secret)
    for got in world.receiver.got:
        verifier.verify(got.body, got.headers)
    assert len({got.headers["webhook-id"] for got in world.receiver.got}) == len(world.receiver.got)
    assert max(len(got.events) for got in world.receiver.got) == 10
    assert world.tally.recent[-1].verdict == "delivered"


async def test_a_repeated_request_has_the_id_of_the_first(world: World) -> None:
    talk(world, 1)
    fates = [503, 503, 200]

    async def answer(got: Got) -> bytes:
        return status(fates.pop(0))

    world.receiver.answer = answer
    delivery = world.delivery()
    async with running(delivery):
        await until(done(world, delivery))
    assert [got.headers["webhook-id"] for got in world.receiver.got] == ["e1"] * 3


async def nothing(got: Got) -> bytes | None:
    return None


async def garbage(got: Got) -> bytes | None:
    return b"\0\xffwhat is this\r\n\r\n"


async def closing(got: Got) -> bytes | None:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"


async def endless(got: Got) -> bytes | None:
    return status(200, body=b"x" * (1 << 20))


async def redirecting(got: Got) -> bytes | None:
    return status(302, "Location: http://127.0.0.1:1/")


async def hanging(got: Got) -> bytes | None:
    """Longer than any budget."""
    await asyncio.get_running_loop().create_future()
    return None


async def overloaded(got: Got) -> bytes | None:
    return status(429, "Retry-After: 0")


@pytest.mark.parametrize(
    "fate",
    [nothing, garbage, closing, redirecting, hanging, overloaded, endless],
    ids=lambda fate: fate.__name__,
)
async def test_what_an_endpoint_answers_badly_comes_again_when_it_is_well(
    world: World, fate: Callable[[Got], object]
) -> None:
    """Asked one event at a time meanwhile, and nothing is given up."""
    talk(world, 40)
    world.client.budget_s = 0.05 if fate is hanging else 60.0
    world.receiver.answer = fate
    delivery = world.delivery()
    async with running(delivery):
        await until(lambda: len(world.receiver.got) >= 8)
        assert delivery.place == "c0"
        assert world.receiver.most <= (20 if fate is hanging else QUICK.at_once)
        assert len(world.receiver.got[-1].events) == 1
        world.receiver.taken.clear()
        world.receiver.answer, world.client.budget_s = world.receiver.good, 60.0
        await until(done(world, delivery))
    world.check()
    assert not world.letters.kept


async def test_an_endpoint_that_flaps_gets_everything_in_order(world: World) -> None:
    asked = 0

    async def flapping(got: Got) -> bytes | None:
        nonlocal asked
        asked += 1
        return [status(200), None, status(500), status(200), status(503), status(200)][asked % 6]

    world.receiver.answer = flapping
    delivery = world.delivery(batch=5, rules=Rules(first_ms=1, longest_ms=4, events=100, spread=400))
    async with running(delivery):
        for _ in range(10):
            talk(world, 20)
            await asyncio.sleep(0)
        await until(done(world, delivery))
    world.check()
    assert not world.letters.kept


async def test_a_refused_event_becomes_a_dead_letter_and_the_rest_goes_on(world: World) -> None:
    talk(world, 30)

    async def answer(got: Got) -> bytes | None:
        return status(400 if any(event["event_id"] == "e9" for event in got.events) else 200)

    world.receiver.answer = answer
    delivery = world.delivery()
    async with running(delivery):
        await until(lambda: len({event["event_id"] for event in world.receiver.taken}) >= 30 - 4)
        await until(done(world, delivery))
    assert [letter.event_id for letter in world.letters.kept] == ["e9"]
    assert world.letters.kept[0].before == "c8"
    assert {event["event_id"] for event in world.receiver.taken} == {f"e{n}" for n in range(1, 31)} - {"e9"}


async def test_the_place_waits_for_a_dead_letter_that_cannot_be_kept(world: World) -> None:
    talk(world, 1)
    world.letters.broken = True

    async def answer(got: Got) -> bytes | None:
        return status(422)

    world.receiver.answer = answer
    delivery = world.delivery(rules=Rules(first_ms=1, longest_ms=1, give_up_ms=0))
    async with running(delivery):
        await until(lambda: len(world.receiver.got) >= 2)
        assert delivery.place == "c0"
        world.letters.broken = False
        await until(done(world, delivery))
    assert len(world.letters.kept) == 1


async def test_gone_disables_at_once_and_so_does_no_good_answer_for_long(world: World) -> None:
    talk(world, 5)

    async def gone(got: Got) -> bytes | None:
        return status(410)

    world.receiver.answer = gone
    async with running(world.delivery()) as task:
        assert (await task).kind == "disabled"
    assert world.log.kept["endpoint.shop"].cursor == "c0", (
        "what was not taken is there when it is enabled again"
    )
    world.receiver.answer = overloaded
    async with running(world.delivery(disable_after_ms=50)) as task:
        assert "no good answer" in (await task).reason


async def test_a_process_that_dies_repeats_and_skips_nothing(world: World) -> None:
    """Ten deaths without a word, in the middle of requests."""
    for _ in range(10):
        talk(world, 20)
        delivery = world.delivery(batch=3)
        task = asyncio.create_task(delivery.run())
        finished = done(world, delivery)
        taken = world.receiver.taken
        await until(partial(_in_the_middle, taken, finished))
        delivery._keep = _lost
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with running(delivery := world.delivery()):
        await until(done(world, delivery))
    world.check()


def _in_the_middle(taken: list[dict[str, Any]], finished: Callable[[], bool]) -> bool:
    return len(taken) % 5 == 3 or finished()


async def _lost(now: bool = False) -> None:
    """A kill -9 keeps no place."""


async def test_two_owners_at_once_repeat_and_the_first_times_stay_in_order(world: World) -> None:
    """One that was taken for dead, and the next: the one whose commit comes second ends."""
    talk(world, 200)
    first, second = world.delivery(batch=2), world.delivery(batch=3)
    async with running(first) as one, running(second) as two:
        await until(lambda: done(world, first)() or done(world, second)())
        finished, _ = await asyncio.wait({one, two}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result().kind for task in finished] == ["taken"]
    world.check()


async def test_the_store_being_away_loses_nothing(world: World) -> None:
    world.log.broken = True
    delivery = world.delivery()
    async with running(delivery):
        await asyncio.sleep(0)
        talk(world, 10)
        world.log.broken = False
        await until(done(world, delivery))
    world.check()


async def test_expired_events_are_told_to_the_receiver(world: World) -> None:
    talk(world, 10)
    world.log.expired = 4
    delivery = world.delivery()
    async with running(delivery):
        await until(done(world, delivery))
    kinds = [event["kind"] for event in world.receiver.taken]
    assert kinds.count("copy.gap") == 1
    assert kinds.count("message.single") == 6
    assert world.tally.gaps == 1


async def test_a_replay_ends_where_it_was_told_to_and_says_that_it_is_one(world: World) -> None:
    talk(world, 50)
    delivery = world.delivery(
        group="replay.shop", begin="c10", beyond=lambda cursor: int(cursor[1:]) > 30, again="r1"
    )
    async with running(delivery) as task:
        assert (await task).kind == "done"
    assert sorted(event["event_id"] for event in world.receiver.taken) == sorted(
        f"e{n}" for n in range(11, 31)
    )
    assert {got.headers["qianwan-replay"] for got in world.receiver.got} == {"true"}


async def test_the_filter_holds(world: World) -> None:
    world.log.put("group.join", "g/1")
    world.log.put("message.group", "g/1")
    world.log.put("message.group", "g/1", env="staging")
    delivery = world.delivery(wanted=EventFilter(("message.*",), (None,)))
    async with running(delivery):
        await until(done(world, delivery))
    assert [event["event_id"] for event in world.receiver.taken] == ["e2"]


async def test_retry_after_is_heeded_in_both_forms() -> None:
    from control.outbox.webhook import _after_ms

    assert _after_ms("120", 0) == 120_000
    assert _after_ms("Thu, 01 Jan 1970 00:01:00 GMT", 10_000) == 50_000
    assert _after_ms("99999999999", 0) == 86_400_000
    for text in ("", "-1", "soon", "1.5", "١"):
        assert _after_ms(text, 0) == 0


def test_every_verdict_is_counted() -> None:
    assert set(Tally().requests) == {verdict.value for verdict in Verdict}

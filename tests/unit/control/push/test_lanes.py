"""Every push reaches a vendor that misbehaves, once as people see it; a dead one delays nobody else."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from h2.errors import ErrorCodes

from control.push import lane as lanes
from control.push.lane import Bounds
from control.push.pushes import Pushes
from control.push.vendor import SENT, Outcome
from im_service.ports import SystemClock
from im_service.push.ports import Push
from im_service.storage.records import PushToken
from tests.support.im_world import until
from tests.support.push_vendor import Asked, Does, Drop, GoAway, Hang, PushVendor, Reset, Say
from tests.support.pushes import a_push, apns_at, client_to

BOUNDS = Bounds(queue=5000, at_once=50, tries=8, patience_s=60)


@asynccontextmanager
async def pushing(
    vendor: PushVendor, bounds: Bounds = BOUNDS, budget_s: float = 10.0
) -> AsyncIterator[tuple[Pushes, list[PushToken]]]:
    """-> all vendors, of which there is one, and the tokens that it says are over"""
    gone: list[PushToken] = []
    clock, client = SystemClock(), client_to(vendor)
    apns = apns_at(vendor, client, clock, budget_s)
    pushes = Pushes([apns], [client], clock, gone.append, bounds, random.Random(1))
    try:
        yield pushes, gone
    finally:
        await pushes.stop(1)


def outcomes(pushes: Pushes, vendor: str = "apns") -> dict[str, int]:
    found = pushes.stats()["outcomes"]
    assert isinstance(found, dict)
    return {outcome: many for (name, outcome), many in found.items() if name == vendor}


class Scripted:
    """A vendor without a network."""

    names: Sequence[str] = ("apns",)

    def __init__(self, answer: Callable[[Push], Outcome]) -> None:
        self.answer = answer
        self.asked: list[Push] = []
        self.free = asyncio.Event()
        self.free.set()

    def takes(self, app: str) -> bool:
        return app != "elsewhere"

    async def send(self, push: Push) -> Outcome:
        self.asked.append(push)
        await self.free.wait()
        return self.answer(push)


def scripted(
    answer: Callable[[Push], Outcome] = lambda push: SENT, bounds: Bounds = BOUNDS
) -> tuple[Pushes, Scripted]:
    vendor = Scripted(answer)
    return Pushes([vendor], [], SystemClock(), lambda token: None, bounds, random.Random(1)), vendor


async def test_all_that_was_under_way_when_connections_end_is_sent_again(tmp_path: Path) -> None:
    """GOAWAY, a lost connection and refused streams every few requests, as servers end connections."""
    rng = random.Random(7)
    trouble = (GoAway(), GoAway(processed=True), Drop(), Reset(), Reset(ErrorCodes.INTERNAL_ERROR))

    def answer(asked: Asked) -> Does:
        return rng.choice(trouble) if asked.number % 40 == 20 else Say(empty=1)

    async with PushVendor(tmp_path, answer) as vendor, pushing(vendor) as (pushes, gone):
        pushes.offer([a_push(server_id=n, token=f"t{n}") for n in range(160)])
        await until(lambda: outcomes(pushes).get("sent") == 160)
        assert outcomes(pushes) == {"sent": 160}
        assert vendor.connections > 2
        ids = Counter(asked.headers["apns-id"] for asked in vendor.asked)
        assert len(ids) == 160
        collapse = {asked.headers["apns-id"]: asked.headers["apns-collapse-id"] for asked in vendor.asked}
        assert len(set(collapse.values())) == 160, "a second try takes the place of the first"
        assert not gone
        assert pushes.waiting == 0


async def test_a_push_is_tried_again_on_429_and_5xx_and_never_on_4xx(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Does:
        before = sum(each.path == asked.path for each in vendor.asked) - 1
        match asked.path[-2:]:
            case "aa":
                return Say(429, b'{"reason":"TooManyRequests"}') if before < 1 else Say()
            case "bb":
                return Say(503) if before < 1 else Say()
            case "cc":
                return Say(400, b'{"reason":"BadDeviceToken"}')
            case "dd":
                return Say(410, b'{"reason":"Unregistered"}')
        return Say()

    async with PushVendor(tmp_path, answer) as vendor, pushing(vendor) as (pushes, gone):
        pushes.offer([a_push(token=token) for token in ("aa", "bb", "cc", "dd")])
        await until(lambda: pushes.waiting == 0)
        tried = Counter(asked.path[-2:] for asked in vendor.asked)
        assert tried == {"aa": 2, "bb": 2, "cc": 1, "dd": 1}
        assert outcomes(pushes) == {"sent": 2, "refused": 1, "gone": 1}
        assert [token.token for token in gone] == ["dd"]


async def test_a_vendor_that_hangs_delays_only_what_hangs(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Does:
        return Hang() if asked.path.endswith("ff") else Say()

    bounds = BOUNDS._replace(at_once=4, tries=1)
    async with PushVendor(tmp_path, answer) as vendor, pushing(vendor, bounds, budget_s=0.5) as (pushes, _):
        pushes.offer([a_push(token="ff"), *(a_push(server_id=n + 10, token=f"t{n}") for n in range(40))])
        await until(lambda: outcomes(pushes).get("sent") == 40)
        await until(lambda: outcomes(pushes).get("given_up") == 1)


async def test_a_dead_vendor_is_left_alone_bounded_and_delays_no_other() -> None:
    dead, good = Scripted(lambda push: Outcome("failed", "dead")), Scripted(lambda push: SENT)
    dead.names, good.names = ("apns",), ("huawei",)
    bounds = Bounds(queue=100, at_once=10, tries=50, patience_s=60)
    pushes = Pushes([dead, good], [], SystemClock(), lambda token: None, bounds, random.Random(1))
    pushes.offer([a_push(server_id=n) for n in range(500)])
    pushes.offer([a_push(server_id=n, vendor="huawei") for n in range(90)])
    await until(lambda: outcomes(pushes, "huawei").get("sent") == 90)
    assert outcomes(pushes) == {"dropped": 400}
    await until(lambda: bool(pushes.remarks()["push"]()))
    assert len(dead.asked) <= 20, "its breaker lets few through"
    assert pushes.stats()["open"] == {"apns": 1, "huawei": 0}
    await pushes.stop(0)
    assert outcomes(pushes) == {"dropped": 400, "given_up": 100}


async def test_it_is_asked_again_when_the_breaker_has_waited() -> None:
    fails = [12]

    def answer(push: Push) -> Outcome:
        fails[0] -= 1
        return Outcome("failed") if fails[0] >= 0 else SENT

    pushes, _ = scripted(answer)
    pushes.offer([a_push(server_id=n) for n in range(20)])
    await until(lambda: outcomes(pushes).get("sent") == 20)
    await pushes.stop(0)


async def test_what_replaces_a_push_comes_after_it_and_is_the_only_one_after_a_recall() -> None:
    pushes, vendor = scripted(bounds=BOUNDS._replace(at_once=1))
    vendor.free.clear()
    first, second = a_push("one", server_id=1), a_push("two", server_id=2)
    pushes.offer([first, second])
    await until(lambda: len(vendor.asked) == 1)
    assert pushes.cancel(1) == set(), "it is under way"
    assert pushes.cancel(2) == {second.to}
    pushes.offer([a_push("took back", server_id=1, recalls=True)])
    await asyncio.sleep(0)
    assert [push.text for push in vendor.asked] == ["one"]
    vendor.free.set()
    await until(lambda: pushes.waiting == 0)
    assert [push.text for push in vendor.asked] == ["one", "took back"]
    assert outcomes(pushes) == {"sent": 2, "cancelled": 1}
    await pushes.stop(0)


async def test_what_may_have_reached_a_phone_is_replaced_after_a_recall() -> None:
    pushes, vendor = scripted(lambda push: SENT if push.recalls else Outcome("failed", after_s=30.0))
    pushes.offer([a_push(server_id=1)])
    await until(lambda: len(vendor.asked) == 1)
    assert pushes.cancel(1) == set(), "nobody knows whether the vendor has it"
    pushes.offer([a_push("took back", server_id=1, recalls=True)])
    await until(lambda: outcomes(pushes).get("sent") == 1)
    await pushes.stop(0)
    assert [push.recalls for push in vendor.asked] == [False, True]


async def test_what_waits_too_long_is_given_up() -> None:
    pushes, vendor = scripted(bounds=BOUNDS._replace(at_once=1, patience_s=0.05))
    vendor.free.clear()
    pushes.offer([a_push(server_id=n) for n in range(5)])
    await asyncio.sleep(0.1)
    vendor.free.set()
    await until(lambda: pushes.waiting == 0)
    assert outcomes(pushes) == {"sent": 1, "given_up": 4}


async def test_what_no_vendor_takes_is_counted_and_a_test_says_it() -> None:
    pushes, _ = scripted()
    pushes.offer([a_push(vendor="nobody"), a_push(app="elsewhere")])
    assert outcomes(pushes, "unknown") == {"unroutable": 2}
    assert (pushes.takes("apns", ""), pushes.takes("apns", "elsewhere")) == (True, False)
    assert (
        await pushes.test(a_push(vendor="nobody")) == "there is no way to nobody for the app com.example.chat"
    )
    assert await pushes.test(a_push()) == "sent"
    assert lanes.LONGEST_S <= 60

"""What a gateway asked an im process that is gone: asked again in order, or answered; never left hanging."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.base import NodeInfo
from control.gateway import upstream as module
from control.gateway.held_requests import HeldRequests
from control.gateway.open_requests import OLDEST_S, OpenRequests
from control.gateway.resync import Resync
from control.gateway.topics import Topics
from control.gateway.upstream import BusUpstream
from control.node_ids import node_key
from control.rendezvous import choose
from control.streams.links import StreamLinks
from control.streams.operations import Call, Inside, Moved, ResyncSession, Send, Sends, Up
from frame.constants import FrameType, RequestCode
from im_service.ports import Downlink, Session
from tests.support.sdk_client import until

NODE = node_key(9, 77)


def send(number: int, conn: int = 1, target: str = "g/all", payload: bytes = b"x") -> Send:
    return Session(NODE, conn, f"user{conn}", "d"), number, target, payload


def im(number: int, epoch: int = 10) -> NodeInfo:
    return NodeInfo(number, epoch, f"im{number}", ("im",))


class Replies:
    """A downlink that keeps what was answered: (connection, request) -> code."""

    def __init__(self) -> None:
        self.codes: dict[tuple[int, int], int] = {}

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        self.codes[session.conn, request] = code


class World:
    """A gateway, and im processes that hear and say nothing."""

    def __init__(self) -> None:
        self.hub = MemoryHub()
        self.heard: dict[int, list[Send | Call | Inside | Moved]] = {}
        self.replies = Replies()
        self.told: dict[int, set[str]] = {}  # im process -> users whose sessions it was told

    async def open(self, max_pending_bytes: int = 32 << 20) -> BusUpstream:
        bus = MemoryBus(self.hub)
        await bus.start()
        topics = Topics((9, 77), 2)
        self.resync = Resync(topics, 1, lambda loop, sessions: None, RuntimeError)
        links = StreamLinks(bus, (9, 77))
        await bus.subscribe("stream.9", links._on_envelope)
        return BusUpstream(
            NODE,
            links,
            cast(Downlink, self.replies),
            topics,
            self.resync,
            max_pending_bytes=max_pending_bytes,
        )

    async def listen(self, info: NodeInfo) -> None:
        bus = MemoryBus(self.hub)
        await bus.start()
        ear = StreamLinks(bus, (info.node_id, info.epoch))
        heard = self.heard.setdefault(info.node_id, [])
        told = self.told.setdefault(info.node_id, set())
        ear.on(Up, lambda _, batch: self._take(heard, told, batch), lambda peer: None)
        await bus.subscribe(f"stream.{info.node_id}", ear._on_envelope)

    @staticmethod
    def _take(heard: list[Send | Call | Inside | Moved], told: set[str], batch: Up) -> None:
        for operation in batch.operations:
            match operation:
                case Sends(sends):
                    heard.extend(sends)
                case Call() | Inside() | Moved():
                    heard.append(operation)
                case ResyncSession(session, _, _, mine=True):
                    told.add(session.user)

    def numbers(self, info: NodeInfo) -> list[int]:
        return [each[1] for each in self.heard[info.node_id] if isinstance(each, tuple)]


async def test_open_sends_go_to_the_next_im_process_in_order_and_before_later_ones() -> None:
    world = World()
    gateway = await world.open()
    first, second = im(1), im(2)
    for info in (first, second):
        await world.listen(info)
    gateway.im_came(first)
    for number in range(20):
        gateway.on_sends([send(number)])
    await until(lambda: world.numbers(first) == list(range(20)))
    gateway.answered([(1, FrameType.SEND_ACK, number, 0, b"") for number in range(5)])
    gateway.im_came(second)
    gateway.im_gone(first)
    gateway.on_sends([send(20)])
    await until(lambda: world.numbers(second) == list(range(5, 21)))
    assert world.replies.codes == {}


@pytest.mark.parametrize("epoch", [11, 10], ids=["started again", "only stood still"])
async def test_open_sends_wait_for_an_im_process_that_comes(epoch: int) -> None:
    world = World()
    gateway = await world.open()
    await world.listen(im(1))
    gateway.im_came(im(1))
    gateway.on_sends([send(1), send(2)])
    await until(lambda: world.numbers(im(1)) == [1, 2])
    gateway.im_gone(im(1))
    gateway.on_sends([send(3)])
    await world.listen(im(1, epoch))
    gateway.im_came(im(1, epoch))
    gateway.on_sends([send(4)])
    await until(lambda: world.numbers(im(1))[-4:] == [1, 2, 3, 4])
    assert world.replies.codes == {}


async def test_what_became_of_a_call_nobody_knows() -> None:
    world = World()
    gateway = await world.open()
    await world.listen(im(1))
    gateway.im_came(im(1))
    gateway.on_call(send(0)[0], 7, "group.create", b"\x80")
    await until(lambda: bool(world.heard[1]))
    gateway.im_gone(im(1))
    assert world.replies.codes == {(1, 7): RequestCode.TIMEOUT}
    gateway.on_call(send(0)[0], 8, "group.create", b"\x80")
    assert world.replies.codes[1, 8] == RequestCode.UNAVAILABLE


async def test_who_waits_too_long_hears_whether_anybody_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_S", 0.05)
    world = World()
    gateway = await world.open()
    gateway.im_came(im(1))
    gateway.on_sends([send(1)])
    gateway.im_gone(im(1))
    gateway.on_sends([send(2)])
    assert world.replies.codes == {}
    await until(lambda: len(world.replies.codes) == 2)
    assert world.replies.codes == {(1, 1): RequestCode.TIMEOUT, (1, 2): RequestCode.UNAVAILABLE}
    await world.listen(im(2))
    gateway.im_came(im(2))
    await asyncio.sleep(0)
    assert world.numbers(im(2)) == [], "not sent behind the answer"


async def test_sends_that_wait_are_bounded_in_number_and_bytes() -> None:
    given_up: list[tuple[int, bool]] = []
    held = HeldRequests(3, 1500, 10.0, lambda each, asked: given_up.append((cast(Send, each)[1], asked)))
    held.hold([send(1, payload=bytes(600)), send(2, payload=bytes(600)), send(3)], asked=True)
    held.hold([send(4), send(5)], asked=False)
    assert given_up == [(2, True), (5, False)]
    assert [cast(Send, each)[1] for each in held.take()] == [1, 3, 4]
    held.hold([send(6, payload=bytes(600))], asked=False)
    assert len(held) == 1
    held.take()


async def test_a_target_whose_place_changes_keeps_its_order() -> None:
    """The newcomer takes over targets; those with open sends follow when these are answered."""
    world = World()
    gateway = await world.open()
    for info in (im(1), im(2)):
        await world.listen(info)
    gateway.im_came(im(1))
    targets = [f"g/{number}" for number in range(40)]
    gateway.on_sends([send(number, target=target) for number, target in enumerate(targets)])
    gateway.im_came(im(2))
    gateway.on_sends([send(100 + number, target=target) for number, target in enumerate(targets)])
    await until(lambda: len(world.numbers(im(1))) == 80)
    assert world.numbers(im(2)) == []
    gateway.answered([(1, FrameType.SEND_ACK, number, 0, b"") for number in range(200)])
    gateway.on_sends([send(200 + number, target=target) for number, target in enumerate(targets)])
    await until(lambda: len(world.numbers(im(1))) + len(world.numbers(im(2))) == 120)
    assert 5 < len(world.numbers(im(2))) < 35


async def test_too_large_for_the_bus_is_refused_to_its_sender_and_costs_nobody_else_anything() -> None:
    world = World()
    world.hub.max_payload = 100_000
    gateway = await world.open()
    await world.listen(im(1))
    gateway.im_came(im(1))
    large = bytes(100_000)
    gateway.on_sends([send(1), send(2, conn=2, payload=large), send(3), send(4, payload=bytes(60_000))])
    gateway.on_call(Session(NODE, 3, "c", "d"), 5, "sync", large)
    gateway.on_sends([send(6, payload=bytes(60_000)), send(7)])
    await until(lambda: world.numbers(im(1)) == [1, 3, 4, 6, 7])
    assert world.replies.codes == {(2, 2): RequestCode.INVALID, (3, 5): RequestCode.INVALID}


async def test_sessions_are_told_to_the_im_process_that_serves_their_users_from_now_on() -> None:
    world = World()
    gateway = await world.open()
    users = [f"user{number}" for number in range(60)]

    async def repeated() -> None:
        """What the core does when it is asked."""
        for _ in range(3):  # one resync at a time
            for conn, user in enumerate(users):
                gateway.on_session((conn, user, "d", 1, conn))
            gateway.on_topic("", 0, False)
        for _ in range(5):
            await asyncio.sleep(0)

    for number in (1, 2, 3):
        await world.listen(im(number))
        gateway.im_came(im(number))
        await repeated()
        if number == 1:
            assert world.told[1] == set(users), "logins may have gone to one that is dead"
    of_two, of_three = world.told[2], world.told[3]
    assert 10 < len(of_three) < 35
    assert len(of_two) > 10, "its share, before the third one came"
    for number in (1, 2, 3):
        world.told[number].clear()
    gateway.im_gone(im(3))
    await repeated()
    assert world.told[3] == set()
    heirs = world.told[1] | world.told[2]
    assert not world.told[1] & world.told[2]
    assert 10 < len(heirs) < 35


async def test_a_send_that_may_be_stored_is_never_told_as_not_stored() -> None:
    """The first im process was asked and is gone; the second one's refusal is not the answer of both."""
    world = World()
    gateway = await world.open()
    gateway.im_came(im(1))
    gateway.on_sends([send(number) for number in range(6)])
    gateway.im_gone(im(1))  # nobody is there: they wait
    gateway.on_sends([send(6)])
    gateway.im_came(im(2))
    codes = [RequestCode.UNAVAILABLE, RequestCode.RATE_LIMITED, 0, RequestCode.DUPLICATE, RequestCode.INVALID]
    told = gateway.answered([(1, FrameType.SEND_ACK, n, code, b"x") for n, code in enumerate(codes)])
    assert [reply[3] for reply in told] == [RequestCode.TIMEOUT, RequestCode.TIMEOUT, *codes[2:]]
    told = gateway.answered([(1, FrameType.SEND_ACK, 6, RequestCode.UNAVAILABLE, b"x")])
    assert [reply[3] for reply in told] == [RequestCode.UNAVAILABLE], "nobody else was asked"
    gateway.im_came(im(3))
    gateway.im_gone(im(2))
    told = gateway.answered([(1, FrameType.SEND_ACK, 5, RequestCode.UNAVAILABLE, b"x")])
    assert [reply[3] for reply in told] == [RequestCode.TIMEOUT]
    told = gateway.answered([(1, FrameType.SEND_ACK, 5, RequestCode.UNAVAILABLE, b"x")])
    assert [reply[3] for reply in told] == [RequestCode.UNAVAILABLE], "another request of this number"


async def test_what_waits_for_answers_is_bounded_in_bytes_and_the_rest_is_refused() -> None:
    world = World()
    gateway = await world.open(max_pending_bytes=100_000)
    gateway.im_came(im(1))
    gateway.on_sends([send(number, payload=bytes(20_000)) for number in range(7)])
    gateway.on_call(send(0)[0], 7, "group.create", bytes(20_000))
    assert world.replies.codes == {(1, number): RequestCode.UNAVAILABLE for number in (4, 5, 6, 7)}
    gateway.answered([(1, FrameType.SEND_ACK, 0, 0, b"")])
    gateway.on_call(send(0)[0], 8, "group.create", bytes(20_000))
    assert (1, 8) not in world.replies.codes, "an answer makes room"


def test_open_requests_are_bounded_and_the_old_ones_are_not_asked_again() -> None:
    now = [0.0]
    opened = OpenRequests(100, 1 << 20, lambda: now[0])
    assert len(opened.sent(1, [send(number) for number in range(150)])) == 100
    assert opened.sent(1, [send(150)]) == []
    now[0] = OLDEST_S + 1
    assert len(opened.sent(1, [send(200)])) == 1, "the answers to the others were lost"
    opened.sent(2, [send(201, conn=2)])
    taken: list[Any] = opened.taken_from(1)
    assert [each[1] for each in taken] == [200]
    assert len(opened) == 1


async def test_what_is_about_a_room_waits_until_its_new_im_process_knows_who_is_inside() -> None:
    """In order, also what the one before was asked; nothing else waits."""
    world = World()
    gateway = await world.open()
    for info in (im(1), im(2)):
        await world.listen(info)
        gateway.im_came(info)
    world.resync.on_loop_end(0)  # of the first one
    world.resync.on_loop_end(0)  # of the second, and what moves there
    room = next(f"r/{n}" for n in range(99) if choose(f"r/{n}", ["1", "2"]) == "1")
    stays = next(f"r/{n}" for n in range(99) if choose(f"r/{n}", ["1", "2"]) == "2")
    session = send(0)[0]
    gateway.on_sends([send(1, target=room)])
    await until(lambda: world.numbers(im(1)) == [1])
    gateway.im_gone(im(1))
    gateway.on_sends([send(2, target=room), send(3, target=stays), send(4, target="g/all")])
    gateway.on_call(session, 5, "room.leave", msgspec.msgpack.encode({"room": room[2:]}))
    gateway.on_sends([send(6, target=room)])
    await until(lambda: world.numbers(im(2)) == [3, 4])
    world.resync.on_session((1, "user1", "d", 0, 7), room)
    world.resync.on_loop_end(0)
    await until(lambda: len(world.heard[2]) == 10)
    inside, moved, one, two, call, six = world.heard[2][-6:]
    assert (inside, moved) == (Inside(session, room), Moved(1, im(1).epoch, gone=True)), (
        "HTTP may ask now, too"
    )
    assert [one, two, six] == [send(number, target=room) for number in (1, 2, 6)]
    assert isinstance(call, Call)
    assert call.request == 5
    assert world.replies.codes == {}


async def test_a_room_of_which_nobody_tells_who_is_inside_is_refused_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TAKEN_OVER_S", 0.05)
    world = World()
    gateway = await world.open()
    await world.listen(im(1))
    gateway.im_came(im(1))
    gateway.on_sends([send(1, target="r/hall")])
    gateway.on_call(send(0)[0], 2, "room.leave", msgspec.msgpack.encode({"room": "hall"}))
    await until(lambda: len(world.replies.codes) == 2)
    assert set(world.replies.codes.values()) == {RequestCode.UNAVAILABLE}
    world.resync.on_loop_end(0)
    gateway.on_sends([send(3, target="r/hall")])
    await until(lambda: world.numbers(im(1)) == [3])

"""Where a gateway sends what, and what it numbers and hints at by itself."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from control.coordination.base import NodeInfo
from control.downlink.local import Commands, LocalDownlink
from control.gateway.resync import Resync
from control.gateway.session_ids import SessionIds
from control.gateway.sync_hints import SyncHints
from control.gateway.topics import Topics
from control.gateway.upstream import BusUpstream
from control.node_ids import LOGINS_AHEAD
from control.rendezvous import choose
from control.request_keys import call_key, conversation_key
from control.streams.batches import BatchReader
from control.streams.links import StreamLinks
from control.streams.operations import Dropped, Up
from frame.constants import FrameType, RequestCode
from im_service.ports import Downlink as AnyDownlink
from im_service.ports import Session
from tests.support.sdk_client import until


def test_both_sides_of_a_chat_and_all_calls_of_a_room_go_to_one_place() -> None:
    assert conversation_key("bob", "u/alice") == conversation_key("alice", "u/bob") == "s/alice:bob"
    assert conversation_key("bob", "r/hall") == "r/hall"
    encoded = msgspec.msgpack.encode({"room": "hall"})
    assert call_key("bob", "room.join", encoded) == "r/hall"
    assert call_key("bob", "room.join", b"\xc1") == call_key("bob", "sync", encoded) == "u/bob"


def test_session_ids_only_rise_also_when_the_clock_goes_back() -> None:
    times = iter([1000.0, 1000.0, 999.0, 1001.0, 1000.5])
    ids = SessionIds(7, lambda: next(times))
    found = [ids.next() for _ in range(5)]
    assert found == sorted(set(found))
    assert all(value & 0xFF == 7 for value in found)
    assert found[0] >> 20 == 1_000_000
    assert found[3] >> 20 == 1_001_000


def test_session_ids_are_above_what_anybody_has_told_of() -> None:
    latest = [(2_000_000 << 12) + 5]
    ids = SessionIds(7, lambda: 1000.0, lambda: latest[0])
    first = ids.next() >> 8
    assert first == latest[0] + LOGINS_AHEAD + 1, "above what the life before made and had not told"
    assert ids.next() >> 8 == first + 1
    latest[0] = first + 50
    assert ids.next() >> 8 == latest[0] + 1 == ids.latest


def test_when_a_login_was_is_told_also_of_an_id_that_is_ahead_of_the_clock() -> None:
    now, told = [1000.0], (1000_000 << 12) + 7
    ids = SessionIds(7, lambda: now[0], lambda: told)
    made: list[tuple[int, float]] = []
    for step in range(70):
        now[0] = 1000.0 + step * 0.7
        made.append((ids.next(), now[0]))
    assert made[0][0] >> 20 >= 1000_000 + 30_000, "above what the life before may have made"
    for session, at in made:
        assert at * 1000 - 1000 <= ids.made_ms(session) <= at * 1000 + 1
    assert made[-1][0] >> 20 == ids.made_ms(made[-1][0]), "the clock has caught up"
    now[0] = 900.0
    assert ids.made_ms(ids.next()) == 900_000


async def test_sync_hints_reach_everybody_once() -> None:
    sent: list[str] = []
    users = [f"u/{n}" for n in range(120)]

    class Downlink(LocalDownlink):
        def publish(self, topic: str, *frame: Any, **more: Any) -> None:
            sent.append(topic)

    downlink = Downlink(cast(Commands, None), RuntimeError, print)
    hints = SyncHints(lambda: downlink, spread_s=0.01)
    hints.trigger(list(users))
    await until(lambda: len(sent) >= len(users))
    assert sorted(sent) == sorted(users)
    assert hints.sent == len(sent)


class Answers(LocalDownlink):
    def __init__(self) -> None:
        super().__init__(cast(Commands, None), RuntimeError, print)
        self.said: list[tuple[int, int, int]] = []

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        self.said.append((type, request, code))


async def test_at_the_end_everybody_who_waits_is_answered_and_nothing_more_is_taken() -> None:
    """Held ones were never asked, or are unknown; open ones are not waited for without a bus (0024)."""

    class Links:
        connected = False

        def max_batch(self) -> int:
            return 1 << 20

        def sender(self, im_id: int, epoch: int) -> Any:
            return type("Sender", (), {"push": lambda *_: None})()

    class Nobody:
        def request(self, listener: object) -> None: ...

    answers, session = Answers(), Session(5, 1, "ann", "d")
    upstream = BusUpstream(5, cast(StreamLinks, Links()), answers, Topics((5, 0), 1), cast(Resync, Nobody()))
    im = NodeInfo(1, 9, "", ("im",))
    upstream.im_came(im)
    upstream.on_sends([(session, 1, "u/ben", b"asked and gone")])
    upstream.im_gone(im)
    upstream.on_sends([(session, 2, "u/ben", b"held")])
    await upstream.settle()
    ack, unknown, refused = FrameType.SEND_ACK, RequestCode.TIMEOUT, RequestCode.UNAVAILABLE
    assert answers.said == [(ack, 1, unknown), (ack, 2, refused)]

    answers.said.clear()
    upstream = BusUpstream(5, cast(StreamLinks, Links()), answers, Topics((5, 0), 1), cast(Resync, Nobody()))
    upstream.im_came(im)
    upstream.on_sends([(session, 3, "u/ben", b"open")])
    upstream.on_call(session, 4, "sync", b"")
    await upstream.settle()
    assert answers.said == [(ack, 3, unknown), (FrameType.RETURN, 4, unknown)]
    answers.said.clear()
    upstream.on_sends([(session, 5, "u/ben", b"late")])
    upstream.on_call(session, 6, "sync", b"")
    assert answers.said == [(ack, 5, refused), (FrameType.RETURN, 6, refused)]


async def test_what_a_room_missed_is_told_to_the_im_process_that_serves_it() -> None:
    pushed: list[tuple[int, Any]] = []

    class Links:
        def max_batch(self) -> int:
            return 1 << 20

        def sender(self, im_id: int, epoch: int) -> Any:
            return type("Sender", (), {"push": lambda _, batch: pushed.append((im_id, batch))})()

    class Nobody:
        def request(self, listener: object) -> None: ...

    upstream = BusUpstream(
        5, cast(StreamLinks, Links()), cast(AnyDownlink, None), Topics((5, 0), 1), cast(Resync, Nobody())
    )
    upstream.on_dropped("r/hall0", 1, 1, 1)
    for im_id in (1, 2):
        upstream.im_came(NodeInfo(im_id, 9, "", ("im",)))
    rooms = [f"r/hall{n}" for n in range(20)]
    for room in rooms:
        upstream.on_dropped(room, 3, 0, 1)
    await until(lambda: len(pushed) == 2)
    read = BatchReader([Up]).read
    told = {
        operation.topic: im_id
        for im_id, batch in pushed
        for operation in cast(Up, read(batch)).operations
        if isinstance(operation, Dropped) and operation.normal == 3
    }
    assert told == {room: int(choose(room, ["1", "2"]) or 0) for room in rooms}
    assert set(told.values()) == {1, 2}

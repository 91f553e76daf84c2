"""Batches between processes: every operation arrives as it was, and a word of another version costs only
itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest

from control.downlink.local import LocalDownlink
from control.gateway.down_batches import DownBatches
from control.gateway.fences import Fences
from control.node_ids import MAX_NODE_ID, node_key, peer_of
from control.streams.batches import MAX_BATCH_BYTES, Batcher, BatchReader, carried, encode
from control.streams.operations import (
    Afresh,
    Announce,
    Away,
    Back,
    Call,
    Down,
    DownOperation,
    Dropped,
    Heeded,
    Inside,
    Join,
    JoinUser,
    Kick,
    Leave,
    LeaveUser,
    Left,
    Login,
    Logout,
    Moved,
    Publish,
    Replies,
    Resync,
    ResyncBegin,
    ResyncEnd,
    ResyncSession,
    Sends,
    SetBudget,
    Sync,
    Tally,
    TopicsBegin,
    TopicsEnd,
    Up,
    UpOperation,
    Withdraw,
    up_halves,
)
from im_service.ports import Reply, Session

ANN = Session(node_key(2, 1_760_000_000_000), 7 << 32, "ann", "phone")
UP = Up(
    [
        Sends([(ANN, 1, "u/ben", b"\x00"), (ANN, 2, "r/hall", b"")]),
        Call(ANN, 3, "sync", b"x"),
        Login(ANN, 6, 1 << 62),
        Logout(ANN, 1000),
        Announce(["r/a"]),
        Withdraw(["r/a", "u/b"]),
        ResyncBegin(),
        ResyncSession(ANN, 6, 5, True),
        ResyncEnd(),
        Dropped("r/hall", 3, 0, 1),
        Inside(ANN, "r/hall#vip"),
        Left(7, "r/hall"),
        Afresh(5),
        TopicsBegin(),
        TopicsEnd(),
        Tally(1, 3, (1 << 64) - 1, 5, 5),
        Away(ANN),
        Back(ANN),
        Moved(3, 5, True),
    ]
)
DOWN = Down(
    [
        Replies([(7, 9, 1, 0, b"y")]),
        Publish(("u/ben", 6, b"z", 1, 7)),
        Join(7, "r/1", (0.5, 10)),
        Leave(7, "g/1"),
        JoinUser("ann", "g/1"),
        LeaveUser("ann", "g/1"),
        Kick("ann", None, 5, 4003, "again"),
        Resync(),
        Sync(),
        SetBudget("r/hall", (2.5, 0)),
        Heeded(5),
    ]
)


@pytest.mark.parametrize("batch", [UP, DOWN], ids=["up", "down"])
def test_each_direction_arrives_as_it_was(batch: Up | Down) -> None:
    read = BatchReader([Up, Down]).read(encode(batch))
    assert read == batch
    if isinstance(read, Up) and isinstance(read.operations[0], Sends):
        assert isinstance(read.operations[0].sends[0][0], Session)


def test_every_operation_has_its_own_number_in_its_direction() -> None:
    for batch, kinds, given_up in ((UP, UpOperation, {7}), (DOWN, DownOperation, set())):
        tags = [type(operation).__struct_config__.tag for operation in batch.operations]
        assert tags == sorted(set(range(1, tags[-1] + 1)) - given_up)
        assert len(tags) == len(get_args(kinds)), "the examples above are all of them"


def test_an_operation_of_another_version_costs_only_itself() -> None:
    words: list[object] = [[5, ["r/a"]], [99, "new"], [3, "torn"], [6, ["r/b"]], [5, ["r/c"], "more"]]
    read = BatchReader([Up]).read(msgspec.msgpack.encode([1, words]))
    assert read == Up([Announce(["r/a"]), Withdraw(["r/b"]), Announce(["r/c"])])


def test_a_direction_that_nobody_serves_is_left_alone_and_garbage_is_an_error() -> None:
    reader = BatchReader([Down])
    assert reader.read(encode(UP)) is None
    for garbage in (b"", b"\xc1", b"\x92\x02", msgspec.msgpack.encode({"a": 1})):
        with pytest.raises(msgspec.MsgspecError):
            reader.read(garbage)


async def test_a_batch_ends_with_the_loop_turn_or_when_it_is_large() -> None:
    pushed: list[tuple[int, int]] = []
    batcher: Batcher[Join] = Batcher(lambda peer, operations: pushed.append((peer, len(operations))))
    for number in range(3):
        batcher.add(1, Join(number, "r/a"))
    batcher.add(2, Join(9, "r/a"), MAX_BATCH_BYTES)
    assert pushed == [(2, 1)]
    await asyncio.sleep(0)
    assert pushed == [(2, 1), (1, 3)]
    batcher.add(2, Join(9, "r/a"))
    await asyncio.sleep(0)
    assert pushed[2:] == [(2, 1)]


def split(operations: list[UpOperation], limit: int) -> tuple[list[bytes], list[UpOperation]]:
    refused: list[UpOperation] = []
    return list(carried(Up, operations, limit, up_halves, refused.append)), refused


def test_a_batch_is_never_larger_than_the_bus_carries_and_says_the_same() -> None:
    sends = [(ANN, number, "u/ben", bytes(number * 10)) for number in range(100)]
    topics = [f"r/{number}" for number in range(500)]
    operations: list[UpOperation] = [
        Sends(sends),
        Call(ANN, 1, "sync", bytes(900)),
        TopicsBegin(),
        Announce(topics),
        Announce(topics),
    ]
    batches, refused = split(operations, 1200)
    assert refused == []
    assert max(map(len, batches)) <= 1200
    reader = BatchReader([Up])
    found = [operation for batch in batches for operation in read_up(reader, batch)]
    assert [send for each in found if isinstance(each, Sends) for send in each.sends] == sends
    assert [each for each in found if isinstance(each, Call)] == [operations[1]]
    assert sum(isinstance(each, TopicsBegin) for each in found) == 1
    named = [each for each in found if isinstance(each, Announce)]
    assert [topic for each in named for topic in each.topics] == topics + topics


def read_up(reader: BatchReader, batch: bytes) -> list[UpOperation]:
    read = reader.read(batch)
    assert isinstance(read, Up)
    return read.operations


def test_what_cannot_be_divided_is_refused_alone() -> None:
    large, small = Call(ANN, 1, "sync", bytes(5000)), Call(ANN, 2, "sync", b"")
    batches, refused = split([small, large, small], 1200)
    assert refused == [large]
    assert [op for batch in batches for op in read_up(BatchReader([Up]), batch)] == [small, small]


class Core:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def __getattr__(self, name: str) -> object:
        return lambda *arguments: self.told.append((name, *arguments))

    def publish_many(self, items: list[object]) -> tuple[int, int]:
        self.told.append(("publish_many", list(items)))
        return len(items), 0

    def reply_many(self, items: list[object]) -> int:
        self.told.append(("reply_many", list(items)))
        return len(items)


def test_a_gateway_does_what_an_im_process_says_in_order() -> None:
    core, asked = Core(), list[object]()
    downlink = LocalDownlink(core, RuntimeError, lambda: None)

    def answered(replies: Sequence[Reply]) -> Sequence[Reply]:
        asked.append(replies)
        return replies

    batches = DownBatches(
        ANN.node, downlink, asked.append, lambda: asked.append("sync"), answered, lambda *left: None, Fences()
    )
    first, second = ("u/a", 6, b"1", 0, 0), ("u/b", 6, b"2", 0, 0)
    batches.apply((4, 1), Down([Publish(first), Publish(second), *DOWN.operations]))
    assert core.told == [
        ("publish_many", [first, second]),
        ("reply_many", [(7, 9, 1, 0, b"y")]),
        ("publish_many", [("u/ben", 6, b"z", 1, 7)]),
        ("join", 7, "r/1", (0.5, 10)),
        ("leave", 7, "g/1"),
        ("join_user", "ann", "g/1"),
        ("leave_user", "ann", "g/1"),
        ("kick", "ann", None, 5, 4003, "again"),
        ("set_budget", "r/hall", (2.5, 0)),
    ]
    assert asked == [[(7, 9, 1, 0, b"y")], 4, "sync"], "answers, a resync, hints"


def test_a_node_key_names_one_life_of_one_process() -> None:
    peers = [(node, epoch) for node in (1, 2, MAX_NODE_ID) for epoch in (1, 1_760_000_000_000)]
    assert [peer_of(node_key(*peer)) for peer in peers] == peers
    assert len({node_key(*peer) for peer in peers}) == len(peers)

"""A trace shows what is delivered to a user: answers, own messages, those of topics; nothing of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from control.downlink.local import LocalDownlink
from control.gateway import traced_down
from control.gateway.looks import Found, Page, Question
from control.gateway.traced_down import INSIDE_S, TracedDown
from frame.constants import FrameType
from im_service.ports import Session

MSG, EVENT, ACK = FrameType.MSG, FrameType.EVENT, FrameType.SEND_ACK
ANN, PAD, BEN = 7, 8, 9


class Core:
    """Ann is here with two devices, Ben with one; `members` of topics by connection."""

    def __init__(self) -> None:
        self.members = {"g/1": {ANN, BEN}, "g/2": {BEN}}
        self.asked: list[tuple[int, str]] = []
        self.deaf = False

    async def page(self, asked: Question) -> Page:
        await asyncio.sleep(0)
        devices = {ANN: "phone", PAD: "pad"}
        rest = [conn for conn in devices if conn > asked.at]
        found = [Found(conn, "ann", devices[conn], *[0] * 10, "") for conn in rest[:1]]
        return Page(found, rest[0] if len(rest) > 1 else 0)

    async def inside(self, conn: int, topic: str) -> bool:
        self.asked.append((conn, topic))
        await asyncio.sleep(0)
        if self.deaf:
            raise TimeoutError
        return conn in self.members.get(topic, ())


class Stage:
    def __init__(self) -> None:
        self.core, self.now = Core(), 1000.0
        self.down = TracedDown(self.core, lambda: self.now)

    async def settled(self) -> None:
        while self.down._tasks:
            await asyncio.gather(*self.down._tasks)

    async def seen(self, *items: tuple[str, int, bytes, int, int]) -> list[tuple[Any, ...]]:
        """(user, device, frame, bytes) of the lines for these publications."""
        with capture_logs() as lines:
            self.down.publications(items)
            await self.settled()
        assert not any("secret" in str(line) for line in lines)
        return [told(line) for line in lines]


def told(line: Any) -> tuple[Any, ...]:
    return line["user"], line["device"], line["frame"], line["bytes"]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    made.down.begin("ann")
    await made.settled()
    yield made
    await made.down.stop()


async def test_answers_and_messages_of_the_user_are_told_and_those_of_nobody_else(stage: Stage) -> None:
    with capture_logs() as lines:
        stage.down.replies([(ANN, ACK, 5, 0, b"secret"), (BEN, ACK, 6, 0, b"secret")])
    assert [told(line) for line in lines] == [("ann", "phone", "SEND_ACK", 6)]
    assert (lines[0]["request"], lines[0]["code"]) == (5, 0)
    both = [("ann", "phone", "MSG", 6), ("ann", "pad", "MSG", 6)]
    assert await stage.seen(("u/ann", MSG, b"secret", 0, 0), ("u/ben", MSG, b"secret", 0, 0)) == both
    assert await stage.seen(("u/ann", MSG, b"secret", 0, ANN)) == both[1:], "who sent it has an answer"


async def test_messages_of_topics_are_told_to_whoever_is_inside_and_the_core_is_asked_once(
    stage: Stage,
) -> None:
    items = [("g/1", EVENT, b"secret", 0, 0), ("g/2", MSG, b"secret", 0, 0), ("g/1", MSG, b"secrets", 0, 0)]
    assert await stage.seen(*items) == [("ann", "phone", "EVENT", 6), ("ann", "phone", "MSG", 7)]
    assert len(stage.core.asked) == 4, "each connection and topic"
    assert len(await stage.seen(*items)) == 2
    assert len(stage.core.asked) == 4
    stage.core.members["g/2"].add(PAD)
    stage.now += INSIDE_S
    assert ("ann", "pad", "MSG", 6) in await stage.seen(*items)


async def test_who_came_later_is_traced_and_who_left_is_not(stage: Stage) -> None:
    stage.down.conns[11] = ("ann", "desk")
    stage.down.closed(ANN)
    seen = await stage.seen(("u/ann", MSG, b"secret", 0, 0), ("g/1", MSG, b"secret", 0, 0))
    assert [device for _, device, _, _ in seen] == ["pad", "desk"]
    stage.down.end("ann")
    assert (await stage.seen(("u/ann", MSG, b"secret", 0, 0)), stage.down.conns) == ([], {})


async def test_a_connection_that_ends_while_it_is_looked_for_stays_ended() -> None:
    stage = Stage()
    stage.down.begin("ann")
    stage.down.closed(ANN)
    await stage.settled()
    assert list(stage.down.conns) == [PAD]


async def test_what_is_not_asked_for_is_counted_and_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traced_down, "ASKED", 2)
    await stage.seen(*((f"g/{number}", MSG, b"secret", 0, 0) for number in range(5)))
    assert (len(stage.core.asked), stage.down.unasked) == (2, 8)
    stage.core.deaf = True
    await stage.seen(("g/9", MSG, b"secret", 0, PAD))
    with capture_logs() as lines:
        stage.down.tell_unasked()
        stage.down.tell_unasked()
    assert [line["publications"] for line in lines] == [9]


async def test_the_way_down_shows_everything_while_somebody_is_traced_and_nothing_else() -> None:
    class Watch:
        def __init__(self) -> None:
            self.users: dict[str, float] = {}
            self.heard: list[object] = []

        def replies(self, replies: Sequence[Any]) -> None:
            self.heard += replies

        def publications(self, items: Sequence[Any]) -> None:
            self.heard += items

    class Taking:
        def __getattr__(self, name: str) -> Any:
            return lambda *words: (len(words[0]), 0) if name == "publish_many" else len(words)

    watch = Watch()
    down = LocalDownlink(Taking(), RuntimeError, lambda: None, watch=watch)
    item = ("g/1", MSG, b"x", 0, 0)
    for _ in range(2):
        down.reply(Session(1, ANN, "ann", "phone"), ACK, 1, 0, b"y")
        down.reply_many(1, [(BEN, ACK, 2, 0, b"z")])
        down.publish("u/ann", EVENT, b"w", exclude=Session(1, BEN, "ben", "d"))
        down.publish_many(1, [item])
        watch.users["ann"] = 1.0
    assert watch.heard == [
        (ANN, ACK, 1, 0, b"y"), (BEN, ACK, 2, 0, b"z"), ("u/ann", EVENT, b"w", 0, BEN), item,
    ]  # fmt: skip

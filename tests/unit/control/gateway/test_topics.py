"""Topics of a gateway: a list that is asked for is the truth, whatever begins or ends meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from control.gateway.resync import HeldSession, Resync, UserTopics
from control.gateway.topics import CountedTopics, KeptTopics, Topics


class Full(Exception):
    pass


class Core:
    """Remembers who was asked; `full` loops refuse once."""

    def __init__(self, full: int = 0) -> None:
        self.asked: list[tuple[int, bool]] = []
        self.full = full

    def tell(self, loop: int, sessions: bool) -> None:
        if self.full:
            self.full -= 1
            raise Full
        self.asked.append((loop, sessions))


class Listener:
    """Writes down what it hears."""

    sessions = True

    def __init__(self) -> None:
        self.heard: list[object] = []

    def begin(self) -> None:
        self.heard.append("begin")

    def session(self, held: HeldSession) -> None:
        self.heard.append(held)

    def inside(self, held: HeldSession, room: str) -> None:
        self.heard.append((held[0], room))

    def end(self, topics: list[str]) -> None:
        self.heard.append(sorted(topics))


ANN: HeldSession = (1, "ann", "d", 6, 100)


def test_kept_topics_begin_with_the_first_loop_and_end_with_the_last() -> None:
    topics = KeptTopics()
    assert topics.changed("r/a", 0, True)
    assert not topics.changed("r/a", 1, True)
    assert not topics.changed("r/a", 0, False)
    assert len(topics) == 1
    assert topics.changed("r/a", 1, False)
    assert topics.end() == []


def test_counted_topics_keep_nothing_until_somebody_asks() -> None:
    core, topics = Core(), CountedTopics()
    resync = Resync(topics, 1, core.tell, Full)
    found: list[list[str]] = []
    for name in ("u/ann", "u/ben", "r/hall"):
        assert topics.changed(name, 0, True)
    assert len(topics) == 3
    resync.request(UserTopics(found.append))
    assert core.asked == [(0, False)]
    topics.changed("u/ann", 0, True)  # repeated
    topics.changed("u/cho", 0, True)  # begins meanwhile
    topics.changed("r/hall", 0, True)  # repeated
    topics.changed("u/ann", 0, False)  # ends meanwhile
    topics.changed("u/ben", 0, True)  # repeated
    assert found == []
    resync.on_loop_end(0)
    assert [sorted(names) for names in found] == [["u/ben", "u/cho"]]
    assert len(topics) == 3


def test_who_asks_during_a_resync_gets_the_next_one() -> None:
    core, topics = Core(), CountedTopics()
    resync = Resync(topics, 1, core.tell, Full)
    first, second = Listener(), Listener()
    resync.request(first)
    topics.changed("u/ann", 0, True)
    resync.on_session(ANN)
    resync.request(second)
    resync.on_loop_end(0)
    assert first.heard == ["begin", ANN, ["u/ann"]]
    assert core.asked == [(0, True), (0, True)]
    resync.on_loop_end(0)
    assert second.heard == ["begin", []]
    resync.on_loop_end(0)  # of nobody's resync
    assert core.asked == [(0, True), (0, True)]


@pytest.mark.parametrize("full", [0, 1, 3])
async def test_a_resync_ends_with_its_last_loop_and_a_full_mailbox_only_delays_it(full: int) -> None:
    core, topics = Core(full), KeptTopics()
    made: Topics = topics
    resync = Resync(made, 2, core.tell, Full)
    topics.changed("r/a", 0, True)
    listener = Listener()
    resync.request(listener)
    async with asyncio.timeout(10):
        while len(core.asked) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert sorted(core.asked) == [(0, True), (1, True)], "each loop is asked once"
    resync.on_session(ANN)
    resync.on_session(ANN, "r/a#vip")
    resync.on_loop_end(1)
    assert listener.heard == ["begin", ANN, (1, "r/a#vip")]
    resync.on_loop_end(0)
    assert listener.heard == ["begin", ANN, (1, "r/a#vip"), ["r/a"]]

"""Topics of a gateway: a list that is asked for is the truth, whatever begins or ends meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from control.gateway.resync import HeldSession, Resync, UserTopics
from control.gateway.topics import Topics
from control.routing.compact import TopicSum


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

    def topic(self, topic: str) -> None:
        self.heard.append(topic)

    def session(self, held: HeldSession) -> None:
        self.heard.append(held)

    def inside(self, held: HeldSession, room: str) -> None:
        self.heard.append((held[0], room))

    def end(self) -> None:
        self.heard.append("end")


ANN: HeldSession = (1, "ann", "d", 6, 100)
OWN = (3, 10)


def sum_of(*names: str) -> tuple[int, int]:
    own = TopicSum(*OWN)
    for name in names:
        own.add(name)
    return own.count, own.digest


def counted(topics: Topics) -> tuple[int, int]:
    return topics.sum.count, topics.sum.digest


def test_topics_begin_with_the_first_loop_and_end_with_the_last() -> None:
    topics = Topics(OWN, 2)
    assert topics.changed("r/a", 0, True)
    assert not topics.changed("r/a", 1, True)
    assert counted(topics) == sum_of("r/a")
    assert not topics.changed("r/a", 0, False)
    assert len(topics) == 1
    assert topics.changed("r/a", 1, False)
    assert counted(topics) == (0, 0)


@pytest.mark.parametrize("loops", [1, 2])
def test_what_was_miscounted_is_right_after_the_core_repeated_it(loops: int) -> None:
    topics = Topics(OWN, loops)
    resync = Resync(topics, 1, Core().tell, Full)
    for name in ("u/ann", "u/ben", "r/hall"):
        assert topics.changed(name, 0, True)
    topics.sum.add("u/never was")
    resync.request(UserTopics(lambda names: None))
    resync.on_topic("u/ann")
    topics.changed("u/cho", 0, True)  # begins meanwhile
    resync.on_topic("r/hall")
    topics.changed("u/ann", 0, False)  # ends meanwhile
    resync.on_topic("u/ben")
    resync.on_topic("u/ben")  # of another device
    resync.on_topic("u/cho")
    resync.on_loop_end(0)
    assert counted(topics) == sum_of("u/ben", "u/cho", "r/hall")
    assert topics.drifts == 1
    resync.request(UserTopics(lambda names: None))
    for name in ("u/ben", "u/cho", "r/hall"):
        resync.on_topic(name)
    resync.on_loop_end(0)
    assert topics.drifts == 1


def test_users_are_named_once_and_only_they() -> None:
    resync = Resync(Topics(OWN, 1), 1, Core().tell, Full)
    found: list[list[str]] = []
    resync.request(UserTopics(found.append))
    for name in ("u/ben", "u/ann", "g/1", "u/ben"):
        resync.on_topic(name)
    assert found == []
    resync.on_loop_end(0)
    assert found == [["u/ben", "u/ann"]]


def test_who_asks_during_a_resync_gets_the_next_one() -> None:
    core = Core()
    resync = Resync(Topics(OWN, 1), 1, core.tell, Full)
    first, second = Listener(), Listener()
    resync.request(first)
    resync.on_topic("u/ann")
    resync.on_session(ANN)
    resync.request(second)
    resync.on_loop_end(0)
    assert first.heard == ["begin", "u/ann", ANN, "end"]
    assert core.asked == [(0, True), (0, True)]
    resync.on_loop_end(0)
    assert second.heard == ["begin", "end"]
    resync.on_loop_end(0)  # of nobody's resync
    resync.on_topic("u/ann")
    assert core.asked == [(0, True), (0, True)]
    assert second.heard == ["begin", "end"]


@pytest.mark.parametrize("full", [0, 1, 3])
async def test_a_resync_ends_with_its_last_loop_and_a_full_mailbox_only_delays_it(full: int) -> None:
    core = Core(full)
    resync = Resync(Topics(OWN, 2), 2, core.tell, Full)
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
    assert listener.heard == ["begin", ANN, (1, "r/a#vip"), "end"]

"""What an im process that was taken for dead says of rooms is done once it has answered that this is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from control.gateway.down_batches import DownBatches
from control.gateway.fences import REMEMBERED, Fences
from control.streams.operations import Down, DownOperation, Heeded, Join, JoinUser, Leave, LeaveUser
from im_service.ports import Downlink, Reply, Session

IM, OTHER = (1, 10), (5, 50)


class Core:
    """Writes down who joins and leaves."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def join(self, session: Session, topic: str, budget: object = None) -> None:
        self.done.append(f"+{session.conn} {topic}")

    def leave(self, session: Session, topic: str) -> None:
        self.done.append(f"-{session.conn} {topic}")

    def join_user(self, user: str, topic: str) -> None:
        self.done.append(f"+{user} {topic}")

    def leave_user(self, user: str, topic: str) -> None:
        self.done.append(f"-{user} {topic}")


class Gateway:
    def __init__(self) -> None:
        self.core, self.fences = Core(), Fences()
        self.left: list[tuple[int, int, str]] = []

        def answered(replies: Sequence[Reply]) -> Sequence[Reply]:
            return replies

        self.batches = DownBatches(
            7,
            cast(Downlink, self.core),
            lambda im_id: None,
            lambda: None,
            answered,
            lambda *word: self.left.append(word),
            self.fences,
        )

    def hear(self, peer: tuple[int, int], *operations: DownOperation) -> list[str]:
        self.core.done = []
        self.batches.apply(peer, Down(list(operations)))
        return self.core.done


@pytest.mark.parametrize("operation", [Join(3, "r/a"), Leave(3, "r/a"), Leave(3, "r/a#t")])
def test_what_it_says_of_rooms_before_it_answers_is_not_done(operation: DownOperation) -> None:
    gateway = Gateway()
    assert gateway.hear(IM, operation)
    gateway.fences.gone(IM)
    assert not gateway.hear(IM, operation)
    assert gateway.hear(OTHER, operation), "another one is heeded"
    assert gateway.hear(IM, JoinUser("u", "g/team")), "groups are the store's"
    assert gateway.hear(IM, LeaveUser("u", "r/a")), "they hear that they were put out"
    assert not gateway.hear(IM, Heeded(0), operation), "nobody asked"
    number = gateway.fences.ask(IM)
    assert number
    assert gateway.fences.ask(IM) == number
    assert not gateway.hear(IM, Heeded(number + 1), operation)
    assert len(gateway.hear(IM, operation, Heeded(number), operation)) == 1
    gateway.fences.gone(IM)
    assert not gateway.hear(IM, Heeded(number), operation), "an answer from before it was gone again"


def test_each_leave_that_is_done_is_told() -> None:
    gateway = Gateway()
    gateway.hear(IM, Leave(3, "r/a"))
    gateway.fences.gone(IM)
    gateway.hear(IM, Leave(4, "r/a"))
    assert gateway.left == [(1, 3, "r/a")]


def test_only_so_many_that_are_gone_are_remembered() -> None:
    fences = Fences()
    for epoch in range(REMEMBERED + 1):
        fences.gone((1, epoch))
    assert fences.heeds((1, 0))
    assert not fences.heeds((1, 1))
    assert fences.ask((2, 0)) is None

"""What an im process makes of a gateway that repeats its sessions."""

from __future__ import annotations

from typing import Any

import pytest

from control.coordination.base import NodeInfo
from control.im.route_check import ASK_AGAIN_S, RouteCheck
from control.im.up_batches import UpBatches
from control.node_ids import node_key
from control.routing.compact import CompactRoutes, TopicSum
from control.streams.operations import (
    Afresh,
    Announce,
    Call,
    Inside,
    Left,
    Login,
    Logout,
    ResyncBegin,
    ResyncEnd,
    ResyncSession,
    Tally,
    TopicsBegin,
    TopicsEnd,
    Up,
    UpOperation,
)
from im_service.ports import Session

GATEWAY = NodeInfo(2, 10, "", ("gateway",))
NODE = node_key(2, 10)


class Service:
    """A message service that only knows who is logged in."""

    def __init__(self) -> None:
        self.known: dict[int, Session] = {}
        self.strays: dict[int, Session] = {}
        self.inside: list[tuple[int, str]] = []

    def on_login(self, session: Session, platform: int, session_id: int, moved: bool = False) -> None:
        self.known[session.conn] = session

    def on_repeated(self, session: Session) -> None: ...

    def on_session(self, session: Session, platform: int, session_id: int) -> None:
        self.known.setdefault(session.conn, session)

    def on_logout(self, session: Session, code: int) -> None:
        self.known.pop(session.conn, None)

    def sessions_at(self, node: int) -> list[Session]:
        return [session for session in self.known.values() if session.node == node]

    def strays_at(self, node: int) -> list[Session]:
        return [session for session in self.strays.values() if session.node == node]

    def on_stray_gone(self, session: Session) -> None:
        del self.strays[session.conn]

    def on_sends(self, batch: Any) -> None: ...

    def on_inside(self, session: Session, room: str) -> None:
        self.inside.append((session.conn, room))

    def on_left(self, node: int, conn: int, topic: str) -> None:
        self.inside.remove((conn, topic))

    def on_afresh(self, node: int) -> None:
        self.inside = []

    def on_dropped(self, topic: str, normal: int, high: int, notices: int) -> None: ...

    def on_call(self, session: Session, request: int, method: str, payload: bytes) -> None:
        if session.conn not in self.known:
            self.strays[session.conn] = session


class World:
    def __init__(self) -> None:
        self.service, self.routes, self.settled = Service(), CompactRoutes(), list[int]()
        self.heeded: list[tuple[int, int]] = []
        self.asked: list[int] = []
        self.now = 100.0
        self.check = RouteCheck(self.routes, self.registered, self.asked.append, lambda: self.now)
        self.batches = UpBatches(
            self.service, self.routes, self.check, self.settled.append, lambda *word: self.heeded.append(word)
        )
        self.batches.gateway_came(GATEWAY)

    def registered(self, node_id: int, epoch: int) -> int:
        return len(self.service.sessions_at(node_key(node_id, epoch)))

    def hear(self, *operations: UpOperation) -> None:
        self.batches.apply((2, 10), Up(list(operations)))

    @property
    def conns(self) -> list[int]:
        return sorted(self.service.known)


def of(conn: int) -> Session:
    return Session(NODE, conn, f"u{conn}", "d")


def topics(*names: str) -> list[UpOperation]:
    """All topics of the gateway."""
    return [TopicsBegin(), Announce(list(names)), TopicsEnd()]


def login(conn: int) -> UpOperation:
    return Login(of(conn), 6, conn)


def session(conn: int, mine: bool = True) -> UpOperation:
    return ResyncSession(of(conn), 6, conn, mine)


def logout(conn: int) -> UpOperation:
    return Logout(of(conn), 1000)


def test_lost_logins_and_logouts_are_made_good() -> None:
    world = World()
    world.hear(login(1), login(2))  # of 2 the logout is lost, of 3 the login
    world.hear(ResyncBegin(), session(1), session(3), login(4), *topics("u/u1"), ResyncEnd())
    assert world.conns == [1, 3, 4]
    assert world.settled == [2]


def test_who_left_during_the_resync_is_gone_and_other_processes_sessions_are_left_alone() -> None:
    world = World()
    world.hear(login(1), login(2))
    world.hear(
        ResyncBegin(), session(1, mine=False), session(2), logout(2), session(5, mine=False), ResyncEnd()
    )
    assert world.conns == [1], "1 logged in here before its user moved, 5 never did"


def test_a_resync_with_a_hole_ends_no_session() -> None:
    world = World()
    world.hear(login(1), login(2))
    world.hear(ResyncBegin(), session(1))
    world.batches.lost(2)
    world.hear(session(3), ResyncEnd())
    assert world.conns == [1, 2, 3], "who is named lives; who is not may have been in the hole"
    assert world.settled == []
    world.hear(ResyncBegin(), session(1), ResyncEnd())
    assert world.conns == [1]


@pytest.mark.parametrize("repeats", [True, False])
def test_a_gateway_taken_for_dead_is_asked_when_it_is_back(repeats: bool) -> None:
    world = World()
    world.hear(login(1), Announce(["r/hall"]))
    assert not world.batches.gateway_came(GATEWAY)
    world.batches.gateway_gone(GATEWAY)
    world.hear(Announce(["r/hall"]))
    assert (world.conns, world.routes.gateways("r/hall")) == ([], ()), "a dead epoch is not heeded"
    assert world.batches.gateway_came(GATEWAY)
    assert not world.batches.gateway_came(GATEWAY), "asked once"
    if repeats:
        world.hear(ResyncBegin(), session(1), *topics("u/u1", "r/hall"), ResyncEnd())
        assert (world.conns, world.routes.gateways("r/hall")) == ([1], (2,))
    world.batches.gateway_gone(GATEWAY)
    assert (world.conns, world.routes.size()) == ([], 0)


def test_the_sessions_of_an_im_process_that_died_are_taken_over() -> None:
    world = World()
    world.hear(login(1), session(2), session(3, mine=False))
    assert world.conns == [1, 2]
    assert world.routes.gateways("u/u2") == (2,)


def call(conn: int) -> UpOperation:
    return Call(of(conn), 1, "room.join", b"")


def test_a_guest_that_another_process_serves_is_gone_when_its_gateway_has_it_no_more() -> None:
    world = World()
    world.hear(call(1), call(2))
    world.batches.who_is_there(2)
    # 3 came after its loop had repeated everything
    world.hear(ResyncBegin(), session(1, mine=False), call(3), *topics(), ResyncEnd())
    assert sorted(world.service.strays) == [1, 3]
    assert world.settled == []  # nothing was lost on the way from the gateway
    world.batches.lost(2)
    world.hear(ResyncBegin(), session(3, mine=False), *topics(), ResyncEnd())
    assert sorted(world.service.strays) == [3]
    assert world.settled == [2]


def test_a_loss_of_a_gateways_words_is_told_though_it_was_asked_who_is_there() -> None:
    world = World()
    world.batches.who_is_there(2)
    world.hear(ResyncBegin())
    world.batches.lost(2)
    world.hear(ResyncEnd(), ResyncBegin(), *topics(), ResyncEnd())
    assert world.settled == [2]


def are(*names: str) -> UpOperation:
    """What the gateway counts when these are its topics."""
    own = TopicSum(2, 10)
    for name in names:
        own.add(name)
    return Tally(1, own.count, own.digest, 3, 3)


def test_topics_with_a_hole_among_them_end_no_route() -> None:
    world = World()
    world.hear(Announce(["r/hall", "r/yard"]), TopicsBegin())
    world.batches.lost(2)  # and with it the word of the yard
    world.hear(Announce(["r/hall"]), TopicsEnd())
    assert (world.routes.gateways("r/hall"), world.routes.gateways("r/yard")) == ((2,), (2,))
    world.hear(*topics("r/hall"))
    assert (world.routes.gateways("r/hall"), world.routes.gateways("r/yard")) == ((2,), ())


def test_a_route_that_is_not_what_its_gateway_says_is_told_and_repeated() -> None:
    world = World()
    world.hear(*topics("r/hall", "u/ann"), are("r/hall", "u/ann"))
    assert (world.check.compared, world.check.unequal, world.asked) == (1, 0, [])
    world.routes.withdraw(2, 10, ["u/ann"])  # broken by hand
    world.routes.announce(2, 10, ["u/bob"])  # as many, but others
    world.hear(are("r/hall", "u/ann"))
    assert (world.check.differing(), world.asked) == (1, [2])
    found = world.check.stats()
    assert (found["open"], found["told"], found["registered"], found["unequal"]) == (3, 3, 0, 1)
    world.now += 2.5
    assert [(word.equal, word.tally.topics, word.at) for word in world.check.words()[2, 10]] == [
        (True, 2, 2.5),
        (False, 2, 2.5),
    ]
    world.hear(*topics("u/ann", "r/hall"), are("r/hall", "u/ann"))
    assert (world.check.differing(), world.routes.gateways("u/bob")) == (0, ())
    assert world.check.words()[2, 10][-1].equal
    world.batches.gateway_gone(GATEWAY)
    assert world.check.words() == {}


def test_what_a_repetition_does_not_heal_is_no_storm() -> None:
    world = World()
    world.hear(*topics("r/hall"))
    for _ in range(400):
        world.hear(are("r/other"), *topics("r/hall"))
        world.now += 5.0
    assert 4 <= len(world.asked) <= 7
    assert world.check.unequal == 400
    world.hear(are("r/hall"))
    world.hear(are("r/other"))
    assert len(world.asked) >= 5, "it was right meanwhile: asked at once"


def test_what_is_said_before_a_repetition_that_was_asked_for_is_no_news() -> None:
    world = World()
    world.check.asked(2)
    world.hear(are("r/hall"))
    world.hear(TopicsBegin(), Announce(["r/hall"]), are("r/hall"))
    assert (world.asked, world.check.differing()) == ([], 0)
    world.hear(TopicsEnd(), are("r/hall"))
    assert (world.asked, world.check.unequal) == ([], 1)
    world.check.asked(2)
    world.now += ASK_AGAIN_S
    world.hear(are("r/yard"))
    assert world.asked == [2], "it did not come"


def test_guests_end_with_their_gateway() -> None:
    world = World()
    world.hear(call(1))
    world.batches.gateway_gone(GATEWAY)
    assert not world.service.strays


def test_who_was_taken_for_dead_begins_anew_with_the_guests_of_rooms_once_for_each_time_it_is_asked() -> None:
    world = World()
    world.hear(Inside(of(1), "r/old"), Afresh(7), Inside(of(2), "r/hall#vip"), Inside(of(3), "r/hall"))
    world.hear(Afresh(7))  # asked again: the first may have been lost
    assert world.service.inside == [(2, "r/hall#vip"), (3, "r/hall")]
    world.hear(Left(3, "r/hall"))
    assert world.service.inside == [(2, "r/hall#vip")]
    assert world.heeded == [(2, 7), (2, 7)]
    world.hear(Afresh(8))
    assert world.service.inside == []

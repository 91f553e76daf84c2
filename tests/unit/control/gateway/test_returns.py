"""A session whose client comes to another gateway: that one asks once, goes on, or says why not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from control.bus.memory import MemoryBus, MemoryHub
from control.gateway.logins import Begun
from control.gateway.returns import Returns, Taken
from frame.constants import ResumeFlag, ResumeReason
from im_service.models import SYNC_BODY
from tests.support.sdk_client import until

EVENTS_LOST, ROOMS_LEFT = ResumeFlag.EVENTS_LOST, ResumeFlag.ROOMS_LEFT


class Full(Exception):
    """The core takes no command now."""


class Core:
    """What the gateway with the session answers, and what the other one is told to do."""

    def __init__(self, answer: Taken | None = None) -> None:
        self.answer = answer
        self.returns: Returns | None = None
        self.told: list[tuple[Any, ...]] = []

    def take_session(self, conn: int, session_id: int, epoch: int, seen: int, token: int) -> None:
        self.told.append(("take", conn, session_id, epoch, seen))
        if self.answer is not None and self.returns is not None:
            answer = self.answer
            self.returns.on_taken(token, answer.reason, answer.flags, answer.bodies)

    def send(self, conn: int, type: int, body: bytes) -> None:
        self.told.append(("send", conn, type, body))

    def resume_fail(self, conn: int, reason: int, text: str = "") -> None:
        self.told.append(("fail", conn, reason))


class Logins:
    def __init__(self, core: Core, revoked: bool = False, hasty: bool = False) -> None:
        self.core = core
        self.hasty = hasty
        self.revoked = revoked
        self.full = False

    def may_return(self, conn: int, user: str, peer: str) -> bool:
        if self.hasty:
            self.core.told.append(("refuse", conn, user, peer))
        return not self.hasty

    def is_revoked(self, event: tuple[Any, ...]) -> bool:
        return self.revoked

    def next_session(self, event: tuple[Any, ...]) -> Begun:
        return Begun(event[1], event[3], event[4], event[5], 77)

    def take_over(self, begun: Begun, event: tuple[Any, ...], bodies: list[bytes], flags: int) -> None:
        self.core.told.append(("resume", begun.conn, event[15], bodies, flags))
        if self.full:
            raise Full


async def gateway(hub: MemoryHub, node: int, answer: Taken | None = None, **more: Any) -> SimpleNamespace:
    bus: Any = MemoryBus(hub)
    core: Any = Core(answer)
    await bus.start()
    logins: Any = Logins(core, **more)
    begun: list[Begun] = []
    ended: list[Begun] = []
    made = Returns(core, logins, bus, node, 0.2, Full, begun.append, ended.append)
    core.returns = made
    await made.start()
    return SimpleNamespace(returns=made, core=core, logins=logins, begun=begun, ended=ended, bus=bus)


def comes(node: int) -> tuple[Any, ...]:
    """An EV_ELSEWHERE: the session 55 of connection 9 at `node`, of which 3 messages were seen."""
    return (13, 5, 1, "ann", "phone", 1, 0, 2_000_000_000, 1, 55, "192.0.2.1", False, node, 1234, 9, 3)


async def test_what_was_missed_comes_from_the_other_gateway_and_the_session_begins_here() -> None:
    hub = MemoryHub()
    keeps, new = await gateway(hub, 1, Taken(0, EVENTS_LOST, [b"four", b"five"])), await gateway(hub, 2)
    new.returns.on_elsewhere(comes(1))
    await until(lambda: new.begun)
    assert keeps.core.told == [("take", 9, 55, 1234, 3)]
    assert new.core.told == [
        ("resume", 5, 3, [b"four", b"five"], EVENTS_LOST | ROOMS_LEFT),
        ("send", 5, 7, SYNC_BODY),
    ]
    assert new.begun == [Begun(5, "ann", "phone", 1, 77)]
    assert new.ended == []


async def test_the_reason_of_the_other_gateway_is_told() -> None:
    hub = MemoryHub()
    await gateway(hub, 1, Taken(ResumeReason.OVERFLOW, 0, []))
    new = await gateway(hub, 2)
    new.returns.on_elsewhere(comes(1))
    await until(lambda: new.core.told)
    assert new.core.told == [("fail", 5, ResumeReason.OVERFLOW)]
    assert new.begun == []


async def test_a_gateway_that_is_gone_or_silent_is_waited_for_no_longer_than_the_budget() -> None:
    hub = MemoryHub()
    await gateway(hub, 1, None)  # its core does not answer
    new = await gateway(hub, 2)
    for node in (1, 3):
        new.returns.on_elsewhere(comes(node))
    await until(lambda: len(new.core.told) == 2, 1.5)
    assert new.core.told == 2 * [("fail", 5, ResumeReason.ELSEWHERE)]


async def test_more_than_the_bus_carries_is_an_overflow() -> None:
    hub = MemoryHub()
    keeps, new = await gateway(hub, 1, Taken(0, 0, [bytes(60_000)] * 40)), await gateway(hub, 2)
    assert keeps.bus.max_payload < 60_000 * 40
    new.returns.on_elsewhere(comes(1))
    await until(lambda: new.core.told)
    assert new.core.told == [("fail", 5, ResumeReason.OVERFLOW)]


async def test_whose_rights_were_taken_back_is_asked_for_nowhere() -> None:
    hub = MemoryHub()
    keeps, new = await gateway(hub, 1, Taken(0, 0, [])), await gateway(hub, 2, revoked=True)
    new.returns.on_elsewhere(comes(1))
    assert (keeps.core.told, new.core.told) == ([], [("fail", 5, ResumeReason.REVOKED)])


async def test_who_comes_too_often_is_asked_for_nowhere() -> None:
    hub = MemoryHub()
    keeps, new = await gateway(hub, 1, Taken(0, 0, [])), await gateway(hub, 2, hasty=True)
    new.returns.on_elsewhere(comes(1))
    assert (keeps.core.told, new.core.told) == ([], [("refuse", 5, "ann", "192.0.2.1")])


async def test_a_session_that_could_not_be_given_all_ends_so_that_its_client_syncs() -> None:
    hub = MemoryHub()
    await gateway(hub, 1, Taken(0, 0, [b"four"]))
    new = await gateway(hub, 2)
    new.logins.full = True
    new.returns.on_elsewhere(comes(1))
    await until(lambda: new.ended)
    assert new.ended == new.begun == [Begun(5, "ann", "phone", 1, 77)]

"""Sessions that come back: who is away and who is here again, and those whose client comes to another gateway
than the one that keeps them.

    here                                         the gateway of the session
    EV_ELSEWHERE  --- session.<node>: Taking --> take_session
                  <-- Taken: MSGs not seen ---   EV_TAKEN: the session has ended there
    resume_with, a new session, and a SYNC; or resume_fail where that gateway does not answer in time

A session that comes back to its own gateway is the core's alone: nothing is asked, and nothing is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec

from control.bus.base import Bus, BusError
from control.gateway.core import Core, CoreEvent
from control.gateway.logins import Begun, Logins
from control.logs import get_logger
from control.part import Part
from frame.constants import FrameType, ResumeFlag, ResumeReason
from im_service.models import SYNC_BODY

log = get_logger("gateway")
MOST_ASKING = 1000
"""Questions under way to other gateways, of clients that came here. Beyond: RESUME_FAIL, and they log in."""
HEADER_BYTES = 4096
TAKE_S = 2.0
"""For the core's answer; its mailbox may be full."""


class Taking(msgspec.Struct, array_like=True):
    conn: int
    session_id: int
    epoch: int
    seen: int


class Taken(msgspec.Struct, array_like=True):
    """`reason` 0: the session has ended there, and these are the bodies of the MSG frames behind `seen`."""

    reason: int
    flags: int
    bodies: list[bytes]


class Returns(Part):
    """`begun` hears of a session that begins here with what another gateway had kept; `end` ends one that
    could not be given all of it. Started after the bus. `ask_s`: the budget for the other gateway. `full`:
    the core takes no command now."""

    def __init__(
        self,
        core: Core,
        logins: Logins,
        bus: Bus,
        node_id: int,
        ask_s: float,
        full: type[Exception],
        begun: Callable[[Begun], None],
        end: Callable[[Begun], None],
    ) -> None:
        self._core = core
        self._logins = logins
        self._bus = bus
        self._node_id = node_id
        self._ask_s = ask_s
        self._full = full
        self._begun = begun
        self._end = end
        self._tokens = count(1)
        self._taking: dict[int, asyncio.Future[Taken]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.taken = 0

    async def start(self) -> None:
        await self._bus.respond(subject(self._node_id), self._on_question)

    async def stop(self, grace_s: float) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- the gateway that keeps a session

    def _on_question(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        try:
            asked = msgspec.msgpack.decode(payload, type=Taking)
        except msgspec.MsgspecError as error:
            log.warning("a question for a session cannot be read", reason=str(error))
            return
        self._spawn(self._give(asked, answer))

    async def _give(self, asked: Taking, answer: Callable[[bytes], None]) -> None:
        token = next(self._tokens)
        found = self._taking[token] = asyncio.get_running_loop().create_future()
        try:
            self._core.take_session(asked.conn, asked.session_id, asked.epoch, asked.seen, token)
            async with asyncio.timeout(TAKE_S):
                taken = await found
        except (TimeoutError, self._full):
            taken = Taken(ResumeReason.ELSEWHERE, 0, [])
        finally:
            del self._taking[token]
        encoded = msgspec.msgpack.encode(taken)
        if len(encoded) > self._bus.max_payload - HEADER_BYTES:
            encoded = msgspec.msgpack.encode(Taken(ResumeReason.OVERFLOW, 0, []))
        answer(encoded)

    def on_taken(self, token: int, reason: int, flags: int, bodies: list[bytes]) -> None:
        found = self._taking.get(token)
        if found is not None and not found.done():
            found.set_result(Taken(reason, flags, bodies))

    # -- the gateway that its client came to

    def on_elsewhere(self, event: CoreEvent) -> None:
        """An EV_ELSEWHERE of the core."""
        conn = event[1]
        if not self._logins.may_return(conn, event[3], event[10]):
            return
        if self._logins.is_revoked(event):
            self._core.resume_fail(conn, ResumeReason.REVOKED, "log in with a token")
        elif len(self._tasks) >= MOST_ASKING:
            self._core.resume_fail(conn, ResumeReason.ELSEWHERE, "too many come from other nodes")
        else:
            self._spawn(self._fetch(event))

    async def _fetch(self, event: CoreEvent) -> None:
        conn, session_id = event[1], event[9]
        node, epoch, session_conn, seen = event[12:16]
        try:
            question = msgspec.msgpack.encode(Taking(session_conn, session_id, epoch, seen))
            answer = await self._bus.request(subject(node), question, self._ask_s)
            taken = msgspec.msgpack.decode(answer, type=Taken)
        except (BusError, msgspec.MsgspecError) as error:
            log.info("the node of a session does not answer", peer_id=node, reason=str(error))
            taken = Taken(ResumeReason.ELSEWHERE, 0, [])
        if taken.reason:
            self._core.resume_fail(conn, taken.reason, "")
            return
        self.taken += 1
        begun = self._logins.next_session(event)
        try:
            flags = taken.flags | ResumeFlag.ROOMS_LEFT  # whatever rooms it was in, they are not here
            self._logins.take_over(begun, event, taken.bodies, flags)
        except self._full:
            self._end(begun)  # its client takes what it has for all: it shall sync
        self._begun(begun)
        try:
            # What was sent while neither gateway had the session is in the store alone. So is what comes
            # until all im processes know where it is now: of that the one that serves the user tells.
            self._core.send(begun.conn, FrameType.EVENT, SYNC_BODY)
        except self._full:
            self._end(begun)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a session that came back was lost", error=repr(error))


def subject(node_id: int) -> str:
    return f"session.{node_id}"

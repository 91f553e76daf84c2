"""What goes to the connections of traced users: frame kinds and sizes, never what is in them.

An answer names its connection. A message names a topic: a user's own is known by its name; whether a traced
connection is in another one is asked of the core and believed for INSIDE_S. Nothing is kept of anybody else,
and while nobody is traced nothing is looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from control.gateway.looks import Page, Question
from control.logs import get_logger
from frame.constants import USER_PREFIX, FrameType
from im_service.ports import Publication, Reply

log = get_logger("trace")

INSIDE_S = 5.0
"""Who joins or leaves a topic is believed to be as before for so long."""
ASKED = 64
"""Pairs of connection and topic asked for at once. Beyond: their publications are counted, not shown."""
KNOWN = 4096
"""Answers that are remembered. Beyond: all are forgotten, and asked for anew."""
PAGES = 64
"""Of a search for the connections that a user has when the trace begins."""


class Core(Protocol):
    """Looks, as far as traces ask (control/gateway/looks.py)."""

    async def page(self, asked: Question) -> Page: ...
    async def inside(self, conn: int, topic: str) -> bool: ...


class TracedDown:
    """`conns`: the connections of traced users, with user and device."""

    def __init__(self, core: Core, clock: Callable[[], float] = time.monotonic) -> None:
        self._core = core
        self._clock = clock
        self.conns: dict[int, tuple[str, str]] = {}
        self._inside: dict[tuple[int, str], tuple[float, bool]] = {}
        self._asking: dict[tuple[int, str], list[tuple[int, int]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._gone: set[int] = set()  # while somebody is looked for
        self.unasked = 0

    def begin(self, user: str) -> None:
        """Find the connections that are there."""
        self._spawn(self._find(user))

    def end(self, user: str) -> None:
        for conn in [conn for conn, (owner, _) in self.conns.items() if owner == user]:
            self.closed(conn)

    def closed(self, conn: int) -> None:
        if self._tasks:
            self._gone.add(conn)
        if self.conns.pop(conn, None) is not None:
            self._inside = {pair: told for pair, told in self._inside.items() if pair[0] != conn}

    def replies(self, replies: Sequence[Reply]) -> None:
        for conn, kind, request, code, payload in replies:
            if conn in self.conns:
                self._tell(conn, kind, len(payload), request=request, code=code)

    def publications(self, items: Sequence[Publication]) -> None:
        for topic, kind, body, _, without in items:
            for conn, (user, _) in list(self.conns.items()):
                if conn == without:
                    continue
                if not topic.startswith(USER_PREFIX):
                    self._to_topic(conn, topic, kind, len(body))
                elif topic == USER_PREFIX + user:
                    self._tell(conn, kind, len(body), topic=topic)

    def tell_unasked(self) -> None:
        if self.unasked:
            log.warning("a trace did not ask of every topic who is in it", publications=self.unasked)
            self.unasked = 0

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _to_topic(self, conn: int, topic: str, kind: int, size: int) -> None:
        pair = conn, topic
        if (waiting := self._asking.get(pair)) is not None:
            if len(waiting) < ASKED:
                waiting.append((kind, size))
            else:
                self.unasked += 1
            return
        at, inside = self._inside.get(pair, (-INSIDE_S, False))
        if self._clock() - at < INSIDE_S:
            if inside:
                self._tell(conn, kind, size, topic=topic)
        elif len(self._asking) >= ASKED:
            self.unasked += 1
        else:
            self._asking[pair] = [(kind, size)]
            self._spawn(self._ask(conn, topic))

    async def _ask(self, conn: int, topic: str) -> None:
        pair = conn, topic
        try:
            inside = await self._core.inside(conn, topic)
        except TimeoutError:
            self.unasked += len(self._asking[pair])
            return
        finally:
            waiting = self._asking.pop(pair)
        if len(self._inside) >= KNOWN:
            self._inside.clear()
        self._inside[pair] = self._clock(), inside
        for kind, size in waiting if inside else ():
            self._tell(conn, kind, size, topic=topic)

    async def _find(self, user: str) -> None:
        at = 0
        for _ in range(PAGES):
            try:
                page = await self._core.page(Question(user=user, at=at))
            except TimeoutError:
                log.warning("connections of a traced user were not found", user=user)
                return
            there = [found for found in page.found if found.conn not in self._gone]
            self.conns |= {found.conn: (user, found.device) for found in there}
            if not (at := page.at):
                return

    def _tell(self, conn: int, kind: int, size: int, **more: object) -> None:
        user, device = self.conns.get(conn, ("", ""))
        if user:
            log.info(
                "trace", frame=FrameType(kind).name, bytes=size, user=user, device=device,
                conn=f"{conn:016x}", **more,
            )  # fmt: skip

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._gone.clear()

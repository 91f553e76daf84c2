"""Sessions that move although nobody drains: those whose age is over, so that a gateway that joined fills,
and those that have been idle for long while this one is out of room.

Both are told at `gateway.leaving.per_s`, and closed after `gateway.leaving.deadline_s`. Whose age is over is
sent where LBS would place it now, which may be here.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from control.gateway.leaving import LeavingCore, Pace, Picked, Picker, Round, ahead
from control.gateway.redirect import Redirect, goaway
from control.logs import get_logger
from control.settings.storms import LeavingSection
from frame.constants import CloseCode

log = get_logger("gateway")

STEP_S = 0.1
JITTER_MS = 1000
EVICT_IDLE_S = 60
"""Idle for so long: nobody notices, and its next heartbeat would only have come to be answered."""
MOST_AGED = 65_536
"""Who waits to be told. Beyond: not told; the core closes it when it is over age by half."""


class Moves:
    """`busy`: the exceptions of a core that takes no command now. `draining`: everybody is picked for the
    drain, so nobody is picked here. All methods on the event loop thread.
    """

    def __init__(
        self,
        core: LeavingCore,
        loops: int,
        redirect: Redirect,
        settings: LeavingSection,
        busy: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._core = core
        self._redirect = redirect
        self._settings = settings
        self._busy = busy
        self._clock = clock
        self._draining = draining
        self._aged: deque[Picked] = deque()
        self._idle = Picker(core, loops, clock, [Round(EVICT_IDLE_S)])
        self._making_room = False  # else those that were found are told, and no more
        self._pace: Pace | None = None
        self._task: asyncio.Task[None] | None = None
        self.aged = 0
        self.evicted = 0

    def set(self, settings: LeavingSection) -> None:
        """From now on; who was told keeps the deadline that was told."""
        self._settings = settings
        if self._pace is not None:
            self._pace = Pace(settings.per_s, self._clock())

    def on_aged(self, picked: Picked) -> None:
        """Its age is over."""
        if len(self._aged) < MOST_AGED:
            self._aged.append(picked)
            self._wake()

    def on_picked(self, conn: int, user: str, device: str, websocket: bool) -> None:
        """What `make_room` asked for; who was picked by a drain that ended meanwhile stays."""
        if self._making_room or self._idle.asks:
            self._idle.on_picked(conn, user, device, websocket)
            self._wake()

    def make_room(self, on: bool) -> None:
        """Who has been idle for long goes elsewhere, or nobody any more."""
        if on and not self._making_room:
            self._idle.again()
        self._making_room = on
        if on:
            self._wake()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _wake(self) -> None:
        if self._task is None:
            self._pace = Pace(self._settings.per_s, self._clock())
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while self._aged or self._making_room or self._idle:
            try:
                self.step()
            except Exception:
                log.exception("a move failed, going on")
            await asyncio.sleep(STEP_S)
        self._task = None

    def step(self) -> None:
        """Tell those whose turn it is; called every STEP_S."""
        if self._pace is None:
            return
        for _ in range(self._pace.due(self._clock())):
            if not self._tell_one():
                break
            self._pace.told(1)
        if self._draining():
            self._idle.again()  # the drain has the answers, and when it ends nobody counts as told
        elif self._making_room:
            with suppress(*self._busy):
                self._idle.want(ahead(self._settings.per_s, STEP_S))

    def _tell_one(self) -> bool:
        try:
            if self._aged:
                self._tell(self._aged[0], CloseCode.MAX_AGE, "time to move", here_too=True)
                self._aged.popleft()
                self.aged += 1
                return True
            if (idle := self._idle.take()) is None:
                return False
            try:
                self._tell(idle, CloseCode.OVERLOADED, "making room", here_too=False)
            except self._busy:
                self._idle.back(idle)
                return False
        except self._busy:
            return False
        self.evicted += 1
        return True

    def _tell(self, picked: Picked, code: int, text: str, *, here_too: bool) -> None:
        there = self._redirect.addresses(picked.user, picked.device, picked.websocket, here_too=here_too)
        body = goaway(code, 0, JITTER_MS, there, text)
        self._core.send_away(picked.conn, body, self._settings.deadline_s, code)

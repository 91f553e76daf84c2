"""The drain of one gateway while its process goes on: each client is told once, at a rate, where to go.

The listener goes on taking who comes anyway (LBS names this gateway to nobody from the first moment on); they
are told when all who were here before have been, so that nobody who comes again and again takes the pace of
those. Who was told and stays is closed at a deadline of its own, so that closes keep the
rate too. While no other gateway takes clients nobody is told, and who was told may stay: they would come back
here, and be told again. SIGTERM drains by the same object, with a rate that tells all within
`server.drain_spread_s`, and waits for no other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec import Meta

from control.gateway.leaving import ANY, LeavingCore, Pace, Picked, Picker, Round, ahead
from control.gateway.redirect import Redirect, goaway
from control.logs import get_logger
from control.settings.values import LEAST_RATE
from frame.constants import CloseCode

log = get_logger("gateway")

STEP_S = 0.05
IDLE_S = 30
"""Silent for so long: told first, as nothing of theirs is under way; whoever talks is left alone longest."""
JITTER_MS = 1000
"""With an address: the rate spreads them already."""
ALONE_MS = 500
"""Nobody to name: LBS shall know of another gateway before it is asked."""
TEXT = "draining"
WAITS = "waits: no other gateway takes clients"


class DrainOrder(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The document `drain/<node name>`. `rate`: GOAWAYs a second. `redirect`: they name other gateways.
    `deadline_s`: so long after its GOAWAY a client that stays is closed; 0: never. `force`: they are told
    also while no other gateway takes clients. `since`: Unix seconds at which somebody ordered it. `epoch`: of
    the one life of the node that it is for; 0: of all under that name.
    """

    rate: Annotated[float, Meta(ge=LEAST_RATE, le=100_000)] = 100.0
    redirect: bool = True
    deadline_s: Annotated[int, Meta(ge=0, le=86_400)] = 60
    force: bool = False
    since: Annotated[float, Meta(ge=0)] = 0.0
    epoch: Annotated[int, Meta(ge=0)] = 0


class DrainStatus(msgspec.Struct, kw_only=True, frozen=True):
    """`told` since the order, `left` of these; `remaining` sessions, the told ones that stay included.
    `rate`: told a second, over the last seconds. `done`: nobody is left. `waits`: for another gateway.
    """

    draining: bool
    told: int = 0
    left: int = 0
    remaining: int = 0
    rate: float = 0.0
    others: int = 0
    done: bool = False
    waits: bool = False
    since: float = 0.0


class Drain:
    """All methods on the event loop thread. `changed` is called when a drain begins, ends, waits for another
    gateway or goes on. `busy` are the exceptions of a core that takes no command now. `ready` returns when
    others can be named. `above`: higher than the ids of the sessions that are here.
    """

    def __init__(
        self,
        core: LeavingCore,
        loops: int,
        redirect: Redirect,
        busy: tuple[type[Exception], ...] = (),
        changed: Callable[[], None] = lambda: None,
        ready: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        above: Callable[[], int] = lambda: ANY,
    ) -> None:
        self._core = core
        self._loops = loops
        self._redirect = redirect
        self._busy = busy
        self._changed = changed
        self._ready = ready
        self._clock = clock
        self._order: DrainOrder | None = None
        self._above = above
        self._picker = self._new_picker()
        self._pace = Pace(1.0, clock())
        self._task: asyncio.Task[None] | None = None
        self._staying = False  # the core shall hear that who was told may stay
        self.waits = False
        self._told = 0
        self._window: list[tuple[float, int]] = []  # (when, told until then), some seconds of it

    @property
    def order(self) -> DrainOrder | None:
        return self._order

    @property
    def tells(self) -> bool:
        """Whoever is here is on the way out."""
        return self._order is not None and not self.waits

    def apply(self, order: DrainOrder | None) -> None:
        """Drain as ordered from now on; None: stop at once, who has not left may stay. The same order twice
        changes nothing, another one goes on with its own rate."""
        before, self._order = self._order, order
        if order == before:
            return
        if order is None:
            self._end()
        else:
            self._pace = Pace(order.rate, self._clock())
            if before is None:
                self._begin(order)
        said = msgspec.to_builtins(order) if order is not None else "none"
        log.info("drain", order=said, told=self._told, waits=self.waits)
        if (before is None) != (order is None):
            self._changed()

    def _begin(self, order: DrainOrder) -> None:
        self.waits = not self._has_where(order)
        self._told = 0
        self._window = [(self._clock(), 0)]
        self._picker = self._new_picker()
        self.close()
        self._task = asyncio.ensure_future(self._run())

    def _new_picker(self) -> Picker:
        before = self._above()
        rounds = [Round(IDLE_S, before), Round(0, before), Round(0)]
        return Picker(self._core, self._loops, self._clock, rounds)

    def _end(self) -> None:
        self.waits = False
        self.close()
        self._staying = True
        if not self._stay():
            self._task = asyncio.ensure_future(self._run())

    def _stay(self) -> bool:
        """Whether the core has heard."""
        if self._staying:
            try:
                self._core.stay()
            except self._busy:
                return False
            self._staying = False
        return True

    def close(self) -> None:
        """The process ends: nobody is told any more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def status(self) -> DrainStatus:
        order = self._order
        if order is None:
            return DrainStatus(draining=False)
        live = self._core.stats()["live"]
        return DrainStatus(
            draining=True,
            told=self._told,
            left=self._left(),
            remaining=live["sessions"],
            rate=self._rate(),
            others=self._redirect.others(),
            done=not live["sessions"],
            waits=self.waits,
            since=order.since,
        )

    def on_picked(self, conn: int, user: str, device: str, websocket: bool) -> None:
        if not self.waits:
            self._picker.on_picked(conn, user, device, websocket)

    def _left(self) -> int:
        """Of those told; who was told and may stay all the same counts as neither."""
        staying = 0 if self.waits else self._core.stats()["live"]["told"] - len(self._picker)
        return max(0, self._told - staying)

    async def _run(self) -> None:
        while True:
            if self._stay():
                break
            await asyncio.sleep(STEP_S)
        if self._order is None:
            return
        try:
            if self._ready is not None:
                await self._ready()
        except Exception as error:  # a bus that stands still
            log.warning("a drain begins without other gateways to name", reason=repr(error))
        while True:
            try:
                self.step()
            except Exception:
                log.exception("a step of the drain failed, going on")
            await asyncio.sleep(STEP_S)

    def step(self) -> None:
        """Tell those whose turn it is; called every STEP_S."""
        order = self._order
        if order is None:
            return
        self._heed_others(order)
        if not self._stay() or self.waits:
            self._note()
            return
        for _ in range(self._pace.due(self._clock())):
            picked = self._picker.take()
            if picked is None:
                break
            try:
                self._tell(picked, order)
            except self._busy:
                self._picker.back(picked)
                break
            self._told += 1
            self._pace.told(1)
        with suppress(*self._busy):
            self._picker.want(ahead(order.rate, STEP_S))
        self._note()

    def _has_where(self, order: DrainOrder) -> bool:
        return order.force or self._redirect.others() > 0

    def _heed_others(self, order: DrainOrder) -> None:
        waits = not self._has_where(order)
        if waits == self.waits:
            return
        if waits:
            self._told = self._left()
            self._window = [(self._clock(), self._told)]
            self._staying = True
        else:
            self._picker = self._new_picker()
            self._pace = Pace(order.rate, self._clock())
        self.waits = waits
        log.warning(f"a drain {WAITS}" if waits else "a drain goes on: another gateway takes clients")
        self._changed()

    def _tell(self, picked: Picked, order: DrainOrder) -> None:
        there = (
            self._redirect.addresses(picked.user, picked.device, picked.websocket) if order.redirect else []
        )
        wait_ms = 0 if there else ALONE_MS
        body = goaway(CloseCode.DRAINING, wait_ms, JITTER_MS, there, TEXT)
        self._core.send_away(picked.conn, body, order.deadline_s, CloseCode.DRAINING)

    def _note(self) -> None:
        now = self._clock()
        self._window.append((now, self._told))
        while len(self._window) > 2 and now - self._window[0][0] > 5.0:
            self._window.pop(0)

    def _rate(self) -> float:
        (first, before), (last, told) = self._window[0], self._window[-1]
        return (told - before) / (last - first) if last > first else 0.0

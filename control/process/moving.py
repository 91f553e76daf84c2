"""What lets clients into a gateway and sends them elsewhere, built together (control/process/wiring.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cached_property

from control.coordination.base import Coordination
from control.coordination.same_root import of_root
from control.gateway.admission import Admission
from control.gateway.core import Core, loops_of, mailbox_full, not_running
from control.gateway.drain import Drain
from control.gateway.easing import Easing
from control.gateway.moves import Moves
from control.gateway.overload import Gauge, Ladder, memory_there, resident_bytes
from control.gateway.redirect import Redirect
from control.gateway.sync_hints import SyncHints
from control.settings import Settings

BEACONS_WAITED, HEARING_S = 1.5, 0.05


class Moving:
    """`tell` is called when a drain begins or ends. `above`: higher than the ids of the sessions that are
    here. `others_speak`: gateways may be in other processes.
    """

    def __init__(
        self,
        settings: Settings,
        own: int,
        core: Core,
        coordination: Coordination,
        root: Callable[[], str],
        tell: Callable[[], None],
        above: Callable[[], int],
        *,
        others_speak: bool,
    ) -> None:
        self._settings = settings
        self._own = own
        self._core = core
        self._coordination = coordination
        self._root = root
        self._tell = tell
        self._above = above
        self._others_speak = others_speak
        self._busy = (mailbox_full(), *not_running())

    @cached_property
    def admission(self) -> Admission:
        return Admission(self._core, self._settings.gateway.admission, self._share)

    @cached_property
    def redirect(self) -> Redirect:
        server, control = self._settings.server, self._settings.control
        return Redirect(
            lambda: of_root(self._coordination.nodes("gateway"), self._root()),
            self._own,
            server.zone,
            server.isp,
            control.lbs.answers,
        )

    @cached_property
    def drain(self) -> Drain:
        return Drain(
            self._core,
            loops_of(self._settings),
            self.redirect,
            self._busy,
            self._tell,
            self._hear_others,
            above=self._above,
        )

    @cached_property
    def moves(self) -> Moves:
        leaving = self._settings.gateway.leaving
        return Moves(
            self._core,
            loops_of(self._settings),
            self.redirect,
            leaving,
            self._busy,
            draining=lambda: self.drain.order is not None,
        )

    def easing(self, hints: SyncHints) -> Easing:
        settings = self._settings.gateway.overload
        memory = settings.memory_bytes or memory_there()
        gauge = Gauge(self._core.stats, memory, time.monotonic, resident_bytes)
        return Easing(
            self._core,
            gauge,
            Ladder(settings),
            self.admission,
            self.moves,
            hints,
            self._busy,
            time.monotonic,
        )

    async def _hear_others(self) -> None:
        """Other gateways are known when this returns, if there are any: a beacon of each has come in."""
        async with asyncio.timeout(BEACONS_WAITED * self._settings.bus.beacon_s):
            await self._coordination.hear_gateways()
        patience = (
            round(BEACONS_WAITED * self._settings.bus.beacon_s / HEARING_S) if self._others_speak else 0
        )
        for _ in range(patience):
            if self.redirect.others():
                return
            await asyncio.sleep(HEARING_S)

    def _share(self) -> float:
        """Of what all gateways may do together: by their capacity, where all tell it."""
        gateways = [info for info in self._coordination.nodes("gateway") if not info.draining]
        own = next((info for info in gateways if info.node_id == self._own), None)
        if own is not None and all(info.capacity for info in gateways):
            return own.capacity / sum(info.capacity for info in gateways)
        return 1.0 / max(1, len(gateways))

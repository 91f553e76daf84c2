"""One process: a list of parts, started in order and stopped in reverse (control/process/wiring.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from control.health import Health
from control.logs import get_logger
from control.metrics import Sources
from control.node_ids import Peer, node_key
from control.part import Part, Source
from control.settings import Settings
from control.ticks import ticks
from im_service.storage.errors import StoreError

log = get_logger("process")

TICK_S, TICK_MAX_S, TICK_END_S = 1.0, 5.0, 1.0


def tick_s(settings: Settings) -> float:
    """Once a second, or with the beacons where those are rarer, to wake once for both."""
    return min(max(TICK_S, settings.bus.beacon_s), TICK_MAX_S)


def dead_ticks(settings: Settings) -> int:
    """Ticks of silence that mean death."""
    return max(2, round(settings.bus.dead_after_s / tick_s(settings)))


class Process:
    """Not reusable. `parts` is filled by the wiring; a part may hold the process for what it knows of all."""

    def __init__(self, settings: Settings, own: Peer) -> None:
        self.settings = settings
        self.own = own
        self.health = Health()
        self.parts: Sequence[Part] = ()
        self._begun: list[Part] = []
        self._ticking: asyncio.Task[None] | None = None

    @property
    def key(self) -> int:
        """What sessions of this process carry as their node."""
        return node_key(*self.own)

    async def start(self) -> None:
        """Start every part. Raises what the part raises that could not; the others are stopped again then."""
        for part in self.parts:
            self.health.checks.update(part.checks())
            self.health.remarks.update(part.remarks())
        try:
            for part in self.parts:
                self._begun.append(part)
                await part.start()
            for part in self.parts:
                await part.started()
        except BaseException:
            await self._stop_parts(0.0)
            raise
        self._ticking = asyncio.create_task(self._tick(), name="ticks")
        self.health.started = True
        settings = self.settings
        log.info(
            "started",
            roles=sorted(settings.server.roles),
            **self.addresses(),
            data_dir=str(settings.server.data_dir),
        )

    def addresses(self) -> dict[str, str]:
        """Where this process listens: name -> host:port, as bound."""
        found: dict[str, str] = {}
        for part in self._begun:
            found.update(part.addresses())
        return found

    async def drain(self) -> None:
        """Take nothing new, send clients away, and wait until they are gone or the drain time is over."""
        self.health.draining = True
        for part in reversed(self._begun):
            await part.drain()

    async def stop(self, grace_s: float) -> None:
        """Stop every part; connections get `grace_s` seconds. Acked messages are durable. Raises the first
        error of a part, when all have been stopped.
        """
        self.health.draining = True
        if self._ticking is not None:
            self._ticking.cancel()
            # Not longer: it may sit in a driver whose server stands still.
            await asyncio.wait({self._ticking}, timeout=TICK_END_S)
        errors = await self._stop_parts(grace_s)
        if errors:
            raise errors[0]

    def sources(self) -> Sources:
        sections: dict[str, Source] = {}
        for part in self.parts:
            sections.update(part.sources())
        roles = tuple(sorted(self.settings.server.roles))
        return Sources(self.settings.node_name, roles, sections, self.health.ready, self._leaving)

    def _leaving(self) -> bool:
        return self.health.draining

    async def _stop_parts(self, grace_s: float) -> list[Exception]:
        errors: list[Exception] = []
        while self._begun:
            part = self._begun.pop()
            try:
                await part.stop(grace_s)
            except StoreError as error:
                log.error("a part could not be stopped", part=type(part).__name__, reason=str(error))
                errors.append(error)
            except Exception as error:
                log.exception("a part could not be stopped", part=type(part).__name__)
                errors.append(error)
        return errors

    async def _tick(self) -> None:
        async for _ in ticks(tick_s(self.settings)):
            for part in self.parts:
                try:
                    await part.tick()
                except Exception:
                    log.exception("periodic work failed", part=type(part).__name__)

"""All vendors of a process: what the message service hands over goes to the lane of its vendor."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from control.logs import get_logger
from control.outgoing.client import OutgoingClient
from control.part import Check, Part, Source
from control.push.lane import Bounds, Lane
from control.push.vendor import Vendor
from im_service.ports import Clock
from im_service.push.ports import Done, Push, nobody_waits
from im_service.storage.records import PushToken

log = get_logger("push")

DRAIN_S = 5.0
"""At the end of the process, for pushes of messages that were acknowledged a moment ago."""
UNKNOWN = "unknown"
"""In metrics: vendors that devices name and nobody set up."""


class Pushes(Part):
    """Implements im_service.push.ports.PushPort. `everything`: takes what no other vendor does."""

    def __init__(
        self,
        vendors: Iterable[Vendor],
        clients: Sequence[OutgoingClient],
        clock: Clock,
        gone: Callable[[PushToken], None],
        bounds: Bounds,
        rng: Random,
        everything: Vendor | None = None,
    ) -> None:
        self._lanes: list[Lane] = []
        self._by_name: dict[str, Lane] = {}
        for vendor in vendors:
            lane = self._lane(vendor, clock, bounds, gone, rng)
            self._by_name |= dict.fromkeys(vendor.names, lane)
        self._rest = None if everything is None else self._lane(everything, clock, bounds, gone, rng)
        self._clients = clients
        self._unroutable = 0

    def _lane(
        self, vendor: Vendor, clock: Clock, bounds: Bounds, gone: Callable[[PushToken], None], rng: Random
    ) -> Lane:
        lane = Lane(vendor, clock, bounds, gone, rng)
        self._lanes.append(lane)
        return lane

    def _to(self, vendor: str, app: str) -> Lane | None:
        lane = self._by_name.get(vendor, self._rest)
        return lane if lane is not None and lane.vendor.takes(app) else None

    def offer(self, pushes: Sequence[Push], done: Done = nobody_waits) -> None:
        one = _last_of(len(pushes), done)
        for push in pushes:
            lane = self._to(push.to.vendor, push.to.app)
            if lane is None:
                self._unroutable += 1
                one()
            else:
                lane.offer(push, one)

    def cancel(self, server_id: int) -> set[PushToken]:
        unheard: set[PushToken] = set()
        for lane in self._lanes:
            unheard |= lane.cancel(server_id)
        return unheard

    def takes(self, vendor: str, app: str) -> bool:
        return self._to(vendor, app) is not None

    async def test(self, push: Push) -> str:
        lane = self._to(push.to.vendor, push.to.app)
        if lane is None:
            return f"there is no way to {push.to.vendor} for the app {push.to.app or '(none)'}"
        outcome = await lane.vendor.send(push)
        return outcome.kind if not outcome.text else f"{outcome.kind}: {outcome.text}"

    @property
    def waiting(self) -> int:
        return sum(lane.waiting for lane in self._lanes)

    async def drained(self) -> None:
        await asyncio.gather(*(lane.drained(DRAIN_S) for lane in self._lanes))

    async def stop(self, grace_s: float) -> None:
        """The message service has waited until they were drained."""
        if self.waiting:
            log.warning("pushes are left to the next start, or to another process", pushes=self.waiting)
        for lane in self._lanes:
            await lane.stop()
        for client in self._clients:
            await client.close()

    def remarks(self) -> Mapping[str, Check]:
        return {"push": self._problem}

    def _problem(self) -> str | None:
        away = sorted(name for name, lane in self._by_name.items() if lane.open)
        return f"{', '.join(away)}: the vendor fails and is left alone for a moment" if away else None

    def sources(self) -> Mapping[str, Source]:
        return {"push": self.stats}

    def stats(self) -> dict[str, object]:
        """By vendor."""
        outcomes: Counter[tuple[str, str]] = Counter()
        for lane in self._lanes:
            for (vendor, outcome), many in lane.counts.items():
                outcomes[vendor if vendor in self._by_name else "dry-run", outcome] += many
        if self._unroutable:
            outcomes[UNKNOWN, "unroutable"] = self._unroutable
        lanes = {lane.vendor.names[0]: lane for lane in self._lanes}
        return {
            "outcomes": dict(outcomes),
            "queued": {name: lane.waiting for name, lane in lanes.items()},
            "retries": {name: lane.retries for name, lane in lanes.items()},
            "seconds": {name: lane.took_ms / 1000 for name, lane in lanes.items()},
            "open": {name: int(lane.open) for name, lane in lanes.items()},
        }


def _last_of(count: int, done: Done) -> Done:
    """Tells `done` when it was called so often."""
    left = count
    if not left:
        done()

    def one() -> None:
        nonlocal left
        left -= 1
        if not left:
            done()

    return one

"""What a process is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

Check = Callable[[], str | None]
"""Cheap; None when all is well, else the reason why not."""
Numbers = Mapping[str, Any]
"""A section of metrics: numbers, and maps of numbers."""
Source = Callable[[], Numbers]
"""Numbers as they are now, read when somebody asks for metrics."""


class Part(Protocol):
    """One part of a process. A part that subclasses this writes only what it has to do.

    Guarantees of the process. Parts are started in the order of its list, and stopped in reverse, one after
    the other. `stop` comes once to every part whose `start` was called, also when that start failed half-way:
    it undoes what was done and is content with what was not. `drain` comes at most once, before `stop`, and
    is given up when it takes too long. `tick` comes about once a second between the end of the whole start
    and `stop`; one that fails is logged and hurts nobody else. `checks`, `remarks` and `sources` are asked
    for once, when every part has been built; what they name may be called at any time.
    """

    async def start(self) -> None:
        """Ready for the parts behind it when this returns."""
        return

    async def started(self) -> None:
        """Every part has started."""
        return

    async def drain(self) -> None:
        """Take nothing new and wait until what is there has gone."""
        return

    async def stop(self, grace_s: float) -> None:
        """Finish what was accepted. `grace_s` seconds are left for the other end to take it."""
        return

    async def tick(self) -> None:
        """Periodic work that needs no clock of its own."""
        return

    def addresses(self) -> Mapping[str, str]:
        """Name -> host:port that others may connect to, as it is bound. Asked for after the start."""
        return {}

    def checks(self) -> Mapping[str, Check]:
        """Name -> check of /readyz."""
        return {}

    def remarks(self) -> Mapping[str, Check]:
        """Name -> what /readyz tells beside its checks: worth a look, no reason to be left out."""
        return {}

    def sources(self) -> Mapping[str, Source]:
        """Section of control.metrics.SECTIONS -> where its numbers are read."""
        return {}

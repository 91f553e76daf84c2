"""Sends for which there is no im process now: they wait for one, in order, as long as decision 0024 says."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from control.streams.batches import SMALL
from control.streams.operations import Send

HELD_S = 10.0
"""Less than a client waits for its answer."""


class _Held(NamedTuple):
    until: float
    send: Send
    asked: bool


class HeldSends:
    """`most` sends and `most_bytes` of them at a time. `give_up(send, asked)` ends the waiting of one;
    `asked`: an im process that is gone was asked it before, so that nobody knows what became of it.
    """

    def __init__(self, most: int, most_bytes: int, give_up: Callable[[Send, bool], None]) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._give_up = give_up
        self._held: deque[_Held] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, sends: list[Send], *, asked: bool) -> None:
        """These wait behind the ones before; what there is no room for is given up at once."""
        until = asyncio.get_running_loop().time() + HELD_S
        for send in sends:
            size = _size(send)
            if len(self._held) >= self._most or self._bytes + size > self._most_bytes:
                self._give_up(send, asked)
                continue
            self._bytes += size
            self._held.append(_Held(until, send, asked))
        self._arm()

    def take(self) -> list[Send]:
        """An im process is there: all of them, in order."""
        taken = [held.send for held in self._held]
        self._held.clear()
        self._bytes = 0
        self._arm()
        return taken

    def end(self) -> None:
        """Nobody waits any longer."""
        while self._held:
            held = self._held.popleft()
            self._give_up(held.send, held.asked)
        self._bytes = 0
        self._arm()

    def _arm(self) -> None:
        if not self._held:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._held[0].until, self._due)

    def _due(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._held and self._held[0].until <= now:
            held = self._held.popleft()
            self._bytes -= _size(held.send)
            self._give_up(held.send, held.asked)
        self._arm()


def _size(send: Send) -> int:
    return len(send[3]) + SMALL

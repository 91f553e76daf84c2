"""Requests that no im process can answer now: they wait for one, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from control.gateway.open_requests import Request, size_of


class _Held(NamedTuple):
    until: float
    request: Request
    asked: bool


class HeldRequests:
    """`most` requests and `most_bytes` of them at a time, each for `held_s` seconds.
    `give_up(request, asked)` ends the waiting of one; `asked`: an im process that is gone was asked it
    before, so that nobody knows what became of it.
    """

    def __init__(
        self, most: int, most_bytes: int, held_s: float, give_up: Callable[[Request, bool], None]
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._held_s = held_s
        self._give_up = give_up
        self._held: deque[_Held] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, requests: Sequence[Request], *, asked: bool) -> None:
        """These wait behind the ones before; what there is no room for is given up at once."""
        until = asyncio.get_running_loop().time() + self._held_s
        for request in requests:
            size = size_of(request)
            if len(self._held) >= self._most or self._bytes + size > self._most_bytes:
                self._give_up(request, asked)
                continue
            self._bytes += size
            self._held.append(_Held(until, request, asked))
        self._arm()

    def take(self) -> list[Request]:
        """They can be asked: all of them, in order."""
        taken = [held.request for held in self._held]
        self._held.clear()
        self._bytes = 0
        self._arm()
        return taken

    def end(self) -> None:
        """Nobody waits any longer."""
        while self._held:
            held = self._held.popleft()
            self._give_up(held.request, held.asked)
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
            self._bytes -= size_of(held.request)
            self._give_up(held.request, held.asked)
        self._arm()

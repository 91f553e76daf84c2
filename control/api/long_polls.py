"""How many requests may wait for something to come: each holds a connection, and nobody else may lack one.

A wait is optional: beyond the bound a request is answered at once with what there is, as when its wait is
over, and told when to come again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

Given = TypeVar("Given", bound=Struct)
Result = TypeVar("Result")

PART = 2
"""Of the connections of a port, all long polls get a part of this size."""
KEY_PART = 8
"""And those of one API key one of this size."""
CUT_SHORT = {"Retry-After": "1"}
"""Of an answer that was not waited for: who asks again at once would ask without end."""


class LongPolls:
    """Those of one port with so many connections. What waits is what a request names `wait_s`."""

    def __init__(self, connections: int) -> None:
        self._most = max(connections // PART, 1)
        self._most_of_key = max(connections // KEY_PART, 1)
        self._waiting: Counter[str] = Counter()
        self._cut = 0
        self._end = asyncio.Event()

    def end(self) -> None:
        """The process ends: what waits is answered now with what there is, and nobody waits any more."""
        self._end.set()

    async def asked(
        self, key_id: str, given: Given, ask: Callable[[Given], Awaitable[Result]]
    ) -> tuple[Result, Mapping[str, str]]:
        """The result of `ask`, and headers of the answer."""
        with self.bounded(key_id, given) as (bounded, headers):
            if not getattr(bounded, "wait_s", 0):
                return await ask(bounded), headers
            asking = asyncio.ensure_future(ask(bounded))
            ending = asyncio.ensure_future(self._end.wait())
            try:
                await asyncio.wait((asking, ending), return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    return await asking, headers
            finally:
                asking.cancel()
                ending.cancel()
            return await ask(replace(bounded, wait_s=0)), CUT_SHORT

    @contextmanager
    def bounded(self, key_id: str, given: Given) -> Iterator[tuple[Given, Mapping[str, str]]]:
        """What to ask, and headers of the answer. Counts while it is open."""
        if not getattr(given, "wait_s", 0):
            yield given, {}
        elif (
            self._end.is_set()
            or self._waiting[key_id] >= self._most_of_key
            or self._waiting.total() >= self._most
        ):
            self._cut += 1
            yield replace(given, wait_s=0), CUT_SHORT
        else:
            self._waiting[key_id] += 1
            try:
                yield given, {}
            finally:
                self._waiting[key_id] -= 1
                self._waiting += Counter()  # keys that wait no more are forgotten

    def stats(self) -> dict[str, int]:
        return {"long_polls": self._waiting.total(), "long_polls_cut_total": self._cut}

"""Many requests at once over one HTTP/2 connection to a vendor, and another one when that breaks.

The pool below keeps a connection that broke as neither usable nor closed until it would have been idle for
long enough, and is full of them after some (httpcore2 2.16). So a pool in which a connection broke is used
for nothing new, and closed when what is under way in it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from control.outgoing.client import Answer, OutgoingClient
from control.outgoing.errors import OutgoingError

CONNECTIONS = 8
"""Of one pool: requests that a broken connection has not sent yet go over the next one."""
WORN = ("broken", "timeout", "closed")


class _Pool:
    def __init__(self, client: OutgoingClient) -> None:
        self.client = client
        self.under_way = 0
        self.worn = False


class Line:
    """`make`: a client with HTTP/2 and CONNECTIONS connections. Used in one event loop."""

    def __init__(self, make: Callable[[], OutgoingClient]) -> None:
        self._make = make
        self._pool = _Pool(make())
        self._closing: set[asyncio.Task[None]] = set()
        self._worn: set[_Pool] = set()
        self._closed = False

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, budget_s: float, answer_bytes: int
    ) -> Answer:
        """As OutgoingClient.post."""
        if self._closed:
            raise OutgoingError("closed", "this process ends")
        pool = self._pool
        pool.under_way += 1
        try:
            return await pool.client.post(url, headers, body, budget_s=budget_s, answer_bytes=answer_bytes)
        except OutgoingError as error:
            if error.kind in WORN and not self._closed and not pool.worn:
                pool.worn = True
                self._worn.add(pool)
                self._pool = _Pool(self._make())
            raise
        finally:
            pool.under_way -= 1
            if pool.worn and not pool.under_way and pool in self._worn:
                self._worn.discard(pool)
                task = asyncio.get_running_loop().create_task(pool.client.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """What is under way ends with OutgoingError."""
        self._closed = True
        for pool in (self._pool, *self._worn):
            await pool.client.close()
        while self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

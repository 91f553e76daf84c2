"""One place that is asked: its signature, its breaker, and how many requests may be under way to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from control.outgoing.breaker import RULES, Breaker, Rules, State
from control.outgoing.client import OutgoingClient
from control.outgoing.errors import OutgoingError
from control.outgoing.signing import Signer
from im_service.ports import Clock

JSON = "application/json"
OK = 200
T = TypeVar("T")


class Bounds(NamedTuple):
    """Of one place. `waiting` requests more than are `at_once` may wait for their turn, within their
    budget."""

    budget_s: float = 2.0
    answer_bytes: int = 64 * 1024
    at_once: int = 64
    waiting: int = 1_000


BOUNDS = Bounds()


class Outlet:
    """POST of JSON to one URL, once."""

    def __init__(
        self,
        client: OutgoingClient,
        clock: Clock,
        url: str,
        signer: Signer | None,
        bounds: Bounds = BOUNDS,
        rules: Rules = RULES,
    ) -> None:
        self.url = url
        self.breaker = Breaker(rules)
        self.asked = 0  # under way, or waiting for their turn
        self._client = client
        self._clock = clock
        self._signer = signer
        self._bounds = bounds
        self._turns = asyncio.Semaphore(bounds.at_once)

    def state(self) -> State:
        return self.breaker.state(self._clock.elapsed_ms())

    async def ask(self, id: str, body: bytes, read: Callable[[bytes], T]) -> T:
        """`read` makes of the body of an answer 200 what is wanted, and raises ValueError for what cannot be
        read; that counts as a failure of the place like any other. Raises OutgoingError."""
        permit = self.breaker.admit(self._clock.elapsed_ms())
        if not permit:
            raise OutgoingError("open", "it failed a moment ago and is left alone")
        good: bool | None = None
        self.asked += 1
        try:
            result = read(await self._answer(id, body))
            good = True
            return result
        except ValueError as error:
            good = False
            raise OutgoingError("garbage", str(error)) from None
        except OutgoingError as error:
            good = None if error.kind in ("busy", "closed") else False
            raise
        finally:
            self.asked -= 1
            self.breaker.done(permit, good, self._clock.elapsed_ms())

    async def _answer(self, id: str, body: bytes) -> bytes:
        bounds = self._bounds
        if self.asked > bounds.at_once + bounds.waiting:
            raise OutgoingError("busy", f"{self.asked} requests are under way")
        loop = asyncio.get_running_loop()
        until = loop.time() + bounds.budget_s
        try:
            async with asyncio.timeout(bounds.budget_s):
                await self._turns.acquire()
        except TimeoutError:
            raise OutgoingError("busy", f"no turn within {bounds.budget_s:g} s") from None
        try:
            headers = {"Content-Type": JSON}
            if self._signer is not None:
                headers |= self._signer.headers(id, self._clock.now_ms() // 1000, body)
            left_s = max(0.001, until - loop.time())
            answer = await self._client.post(
                self.url, headers, body, budget_s=left_s, answer_bytes=bounds.answer_bytes
            )
        finally:
            self._turns.release()
        if answer.status != OK:  # an accepted or a partial answer is no verdict
            raise OutgoingError("status", f"answered {answer.status}")
        return answer.body

"""Where to connect: several LBS, what the last one said, what an earlier run kept, and what is built in.

    LBS URLs, staggered -> the last answer, kept by this run or an earlier one -> built-in addresses

An answer holds until its time is over; then, and when a gateway says "elsewhere", the LBS are asked anew.
"""

from __future__ import annotations

import asyncio
import math
import random
import secrets
import ssl
import time
from collections.abc import Callable, Sequence

from qianwan.connection import lbs
from qianwan.errors import CertificateError, ConnectFailed, KeySetError, QianwanError
from qianwan.transport import Address

STAGGER_S = 2.0
"""The longest wait for one LBS before the next is asked too; a random part of it, so that those who lost one
LBS do not come to the next one together."""

Trust = Callable[[str, lbs.Placement, bool], bytes]
"""The root to judge an answer by, from this URL; takes over its key set. Raises KeySetError."""


class NoPlace(ConnectFailed):
    """No LBS answered, and nothing is kept or built in; `causes` says why, one for each."""

    def __init__(self, causes: Sequence[QianwanError]) -> None:
        super().__init__("no address to connect to")
        self.causes = tuple(causes)


class Places:
    """One for a client. `clock` is monotonic, `wall` tells Unix seconds."""

    def __init__(
        self,
        urls: Sequence[str],
        built_in: Sequence[Address],
        *,
        device: str,
        transport: str,
        unsigned: bool,
        tls: ssl.SSLContext | None,
        rng: random.Random,
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._urls = tuple(urls)
        self._built_in = tuple(built_in)
        self._device = device
        self._transport = transport
        self._unsigned = unsigned
        self._tls = tls
        self._rng = rng
        self._clock = clock
        self._wall = wall
        self._fresh_until = 0.0
        self._keep_until = 0.0
        self.placement: lbs.Placement | None = None

    @property
    def signed(self) -> str:
        """What a later run may `remember`."""
        return self.placement.signed if self.placement is not None else ""

    def remember(self, text: str, root: bytes) -> None:
        """Fall back on the answer that an earlier run kept, as long as it may be kept. What cannot be read is
        forgotten.
        """
        try:
            kept = lbs.open_signed(text, root, lbs.host_of(self._urls[0]) if self._urls else "")
        except (KeySetError, ConnectFailed):
            return
        age = self._wall() - kept.issued_at
        if kept.addresses and age <= kept.keep_s:
            self.placement = kept
            self._fresh_until = 0.0  # a program that starts asks
            self._keep_until = self._clock() + min(kept.keep_s, kept.keep_s - age)

    async def find(self, user: str, elsewhere: bool, trust: Trust) -> Sequence[Address]:
        """Addresses in the order to try. Raises NoPlace."""
        if not self._urls:
            return self._built_in
        if self.placement is not None and self._clock() < self._fresh_until and not elsewhere:
            return self.placement.addresses
        causes: list[QianwanError] = []
        placement = await self._ask_all(user, trust, causes)
        if placement is not None:
            self._take(placement)
            return placement.addresses
        kept = self.placement if self._clock() < self._keep_until else None
        found = tuple(dict.fromkeys([*(kept.addresses if kept else ()), *self._built_in]))
        if not found:
            raise NoPlace(causes)
        return found

    def _take(self, placement: lbs.Placement) -> None:
        self.placement = placement
        # By the server's time, where this machine's clock agrees; an answer is never gone by for longer.
        age = min(max(0.0, self._wall() - placement.issued_at), placement.ttl_s) if placement.signed else 0.0
        age = 0.0 if "nonce" in placement.asked else age
        self._fresh_until = self._clock() + placement.ttl_s - age
        keep_s = max(placement.keep_s, placement.ttl_s) if placement.signed else math.inf
        self._keep_until = self._clock() + keep_s

    async def _ask_all(self, user: str, trust: Trust, causes: list[QianwanError]) -> lbs.Placement | None:
        """The first answer that is believed and names a gateway. The next LBS is asked when one has failed,
        or has been silent for a while.
        """
        waiting = list(self._urls)
        running: set[asyncio.Task[lbs.Placement]] = set()
        try:
            while waiting or running:
                if waiting:
                    running.add(asyncio.ensure_future(self._ask(waiting.pop(0), user, trust)))
                patience = self._rng.uniform(0.0, STAGGER_S) if waiting else None
                done, running = await asyncio.wait(
                    running, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        return task.result()
                    if not isinstance(error, ConnectFailed | KeySetError | CertificateError):
                        raise error
                    causes.append(error)
            return None
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _ask(self, url: str, user: str, trust: Trust) -> lbs.Placement:
        asked = {"user": user, "device": self._device, "transport": self._transport}
        question = {name: value for name, value in asked.items() if value}
        try:
            found = self._believed(url, await lbs.ask(url, question, self._tls), question, trust)
        except lbs.Stale:
            question["nonce"] = secrets.token_hex(16)
            found = self._believed(url, await lbs.ask(url, question, self._tls), question, trust)
        if not found.addresses:
            raise ConnectFailed(f"LBS {url} names no gateway")
        return found

    def _believed(self, url: str, answer: object, question: lbs.Question, trust: Trust) -> lbs.Placement:
        here = lbs.host_of(url)
        told = lbs.parse(answer, here)
        if not told.signed and self._unsigned:
            trust(url, told, True)
            return told
        if not told.signed:
            raise KeySetError(f"the answer of LBS {url} is not signed: allow it with unsigned_lbs")
        root = trust(url, told, False)  # kept when all of it is believed
        found = lbs.open_signed(told.signed, root, here)
        lbs.judge(found, {"transport": "tcp", **question}, self._wall())
        trust(url, found._replace(root=told.root), True)
        return found

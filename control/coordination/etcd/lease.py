"""A lease that knows by its own clock when it has ended.

sent ------- answered: it lives TTL from `sent` on, which is never longer than etcd thinks
 |<-- TTL/3 --> renewed ... no answer ... |<- deadline: lost, whatever etcd says later
                                              another one is asked for until etcd gives it
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Awaitable, Callable

from control.coordination.etcd.client import EtcdClient
from control.coordination.etcd.errors import EtcdError, LeaseNotFound
from control.logs import get_logger

log = get_logger("etcd")

AGAIN_S = 0.3
"""Between two tries to renew, beside the tries of each call."""
GRANT_AGAIN_S = 1.0
REVOKE_S = 1.0


def boot_s() -> float:
    """A clock that goes on while the machine is suspended, as etcd's does elsewhere."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """`lost` is called once for each lease that ended here: at its deadline at the latest, or as soon as the
    process runs again. `granted` is awaited with each new lease but the first, and again where it raised
    EtcdError; it raises it for a lease that has ended meanwhile, which is replaced without a word. `hangs` is
    asked behind each renewal whether the keys are still there and under this lease: one that keeps nothing
    alive is lost too, however well etcd renews it.
    """

    def __init__(
        self,
        client: EtcdClient,
        ttl_s: int,
        lost: Callable[[], None],
        granted: Callable[[int], Awaitable[None]],
        hangs: Callable[[int], Awaitable[bool]],
        clock: Callable[[], float] = boot_s,
    ) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._lost = lost
        self._granted = granted
        self._hangs = hangs
        self._clock = clock
        self._deadline = 0.0
        self._life = float(ttl_s)
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._settled = False
        self.id = 0

    @property
    def held(self) -> bool:
        """Exact at any moment: it asks the clock, not whether `lost` has been called."""
        return self.id != 0 and self._clock() < self._deadline

    @property
    def left_s(self) -> float:
        return max(0.0, self._deadline - self._clock()) if self.id else 0.0

    async def start(self) -> int:
        """The id of the first lease. Raises EtcdError."""
        await self._grant()
        self._settled = True
        self._task = asyncio.create_task(self._run(), name="lease")
        return self.id

    async def stop(self) -> None:
        """End it, and with it its keys, if etcd is there; else it ends by itself."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        lease, self.id = self.id, 0
        if lease:
            with contextlib.suppress(EtcdError):
                await self._client.revoke(lease, REVOKE_S)

    async def _grant(self) -> None:
        """Raises EtcdError."""
        lease = secrets.randbits(62) + 1  # ours, so that a repeated request makes no second one
        sent = self._clock()
        self._life = await self._client.grant(lease, self._ttl_s)
        self.id = lease
        self._extend(sent)

    async def _run(self) -> None:
        while True:
            try:
                if not self.held:
                    self._end("its deadline passed")
                    await self._grant()
                if not self._settled:
                    lease = self.id
                    await self._granted(lease)
                    self._settled = self.id == lease
                    continue
                await self._renew()
            except EtcdError as error:
                log.warning("no new lease yet", reason=str(error))
                await asyncio.sleep(GRANT_AGAIN_S * (0.5 + random.random()))
            except Exception:
                log.exception("the lease could not be kept up, going on")
                await asyncio.sleep(GRANT_AGAIN_S)

    async def _renew(self) -> None:
        lease = self.id
        await asyncio.sleep(min(self.left_s, self._life / 3))
        while self.id == lease and self.held:
            sent = self._clock()
            try:
                life = await self._client.keep_alive(lease, max(AGAIN_S, min(self.left_s, self._life / 3)))
                if self.id == lease:
                    self._life = life
                    self._extend(sent)
                    await self._look_at_keys(lease)
                return
            except LeaseNotFound:
                if self.id == lease:
                    self._end("etcd ended it")
            except EtcdError as error:
                log.warning("lease not renewed", left_s=round(self.left_s, 1), reason=str(error))
                await asyncio.sleep(min(self.left_s, AGAIN_S))

    async def _look_at_keys(self, lease: int) -> None:
        try:
            async with asyncio.timeout(self._life / 3):
                hangs = await self._hangs(lease)
        except (EtcdError, TimeoutError):
            return  # looked at again at the next renewal
        if not hangs and self.id == lease:
            self._end("its keys are gone, or another lease holds them")

    def _extend(self, sent: float) -> None:
        self._deadline = sent + self._life
        self._watch()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self.left_s, self._look)

    def _look(self) -> None:
        if self.held:
            self._watch()  # a timer may be early
        else:
            self._end("its deadline passed")

    def _end(self, why: str) -> None:
        if self.id == 0:
            return
        self.id = 0
        settled, self._settled = self._settled, False
        if not settled:
            return
        log.error("lease lost", reason=why)
        try:
            self._lost()
        except Exception:
            log.exception("who held the lease could not be told")

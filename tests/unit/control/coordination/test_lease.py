"""A lease against an etcd that is late: what is told of the one that counts."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from control.coordination.etcd.errors import LeaseNotFound
from control.coordination.etcd.lease import Lease
from tests.support.sdk_client import until

LIFE_S = 0.4


async def hangs(lease: int) -> bool:
    return True


class LateEtcd:
    """Ends the first lease at once; grants the second one when it is over already."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def grant(self, lease: int, ttl_s: int) -> float:
        self.asked.append(lease)
        if len(self.asked) == 2:
            await asyncio.sleep(LIFE_S * 1.2)
        return LIFE_S

    async def keep_alive(self, lease: int, within_s: float = 0.0) -> float:
        if lease == self.asked[0]:
            raise LeaseNotFound("ended")
        return LIFE_S

    async def revoke(self, lease: int, within_s: float = 0.0) -> None:
        return


async def test_a_lease_that_ended_while_it_was_taken_up_is_replaced_and_the_next_is_taken_up() -> None:
    """Else keys stay with the one that ended, and vanish with it, while another one is renewed for ever."""
    etcd, taken_up = LateEtcd(), list[int]()

    async def granted(lease: int) -> None:
        await asyncio.sleep(LIFE_S / 10)
        taken_up.append(lease)

    lease = Lease(cast(Any, etcd), 1, lambda: None, granted, hangs)
    await lease.start()
    await until(lambda: len(etcd.asked) >= 3 and lease.held)
    await until(lambda: etcd.asked[2] in taken_up)
    assert lease.id == etcd.asked[2]
    await lease.stop()

"""Who may share a store: processes that one bus joins, and nobody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.claim import NodeIdClaim
from control.errors import StartError
from control.im.store_claim import StoreClaim, holders_of
from control.node_ids import Peer, node_key
from im_service.storage.sqlite.holders import FileHolders

ONE, TWO = (1, 1 << 40), (2, 1 << 41)


async def on(hub: MemoryHub, own: Peer) -> MemoryBus:
    """A process on this bus that holds its node id."""
    bus = MemoryBus(hub)
    await bus.start()
    await NodeIdClaim(bus, own, f"node-{own[0]}", 1.0).start()
    return bus


def claim(folder: Path, own: Peer, bus: MemoryBus | None) -> StoreClaim:
    holders = FileHolders(folder)
    holders.patience_s = 0.05
    return StoreClaim(holders, own, "store.sqlite3", bus)


async def test_processes_of_one_bus_share_a_store(tmp_path: Path) -> None:
    hub = MemoryHub()
    claims = [claim(tmp_path, own, await on(hub, own)) for own in (ONE, TWO)]
    for each in claims:
        await each.start()
    for each in claims:
        await each.tick()
        await each.stop(0)


async def test_whom_etcd_lists_is_no_stranger_where_the_bus_is_in_two_parts(tmp_path: Path) -> None:
    first = claim(tmp_path, ONE, await on(MemoryHub(), ONE))
    await first.start()
    holders = FileHolders(tmp_path)
    holders.patience_s = 0.05
    beyond = StoreClaim(holders, TWO, "store.sqlite3", await on(MemoryHub(), TWO), lambda: {ONE})
    await beyond.start()
    found = await holders_of(FileHolders(tmp_path), None, listed={ONE, TWO})
    assert found == {node_key(*ONE): True, node_key(*TWO): True}
    for each in (beyond, first):
        await each.stop(0)


@pytest.mark.parametrize("joined", [(True, True), (True, False), (False, True)])
async def test_a_store_that_another_cluster_uses_is_refused_with_one_line(
    tmp_path: Path, joined: tuple[bool, bool]
) -> None:
    first, second = [
        claim(tmp_path, own, await on(MemoryHub(), own) if bus else None)
        for own, bus in zip((ONE, TWO), joined, strict=True)
    ]
    await first.start()
    with pytest.raises(
        StartError, match=r"^the store \(store.sqlite3\) is used by another server, node 1 on[^\n]*$"
    ):
        await second.start()
    await second.stop(0)
    await first.stop(0)
    again = claim(tmp_path, TWO, None)
    await again.start()
    await again.stop(0)


async def test_the_same_node_id_on_another_bus_is_another_process(tmp_path: Path) -> None:
    """It is the epoch that counts: 1 is the default number of everybody."""
    other = (1, 1 << 42)
    first = claim(tmp_path, ONE, await on(MemoryHub(), ONE))
    second = claim(tmp_path, other, await on(MemoryHub(), other))
    await first.start()
    with pytest.raises(StartError):
        await second.start()
    await second.stop(0)
    await first.stop(0)


@pytest.mark.parametrize("turns", range(8))
async def test_a_stop_ends_periodic_work_at_whatever_turn_it_comes(tmp_path: Path, turns: int) -> None:
    """A cancellation that meets the end of what is waited for must not be swallowed."""
    held = asyncio.Event()

    class Slow(FileHolders):
        async def hold(self, key: int) -> None:
            await held.wait()

    each = StoreClaim(Slow(tmp_path), ONE, "store.sqlite3", None)
    ticked = False

    async def work() -> None:
        nonlocal ticked
        await each.tick()
        ticked = True
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    held.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    before = ticked
    task.cancel()
    await asyncio.sleep(0.01)
    assert task.cancelled(), f"the cancellation was swallowed, {before=} {ticked=}"

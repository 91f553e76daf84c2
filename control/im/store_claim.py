"""A store belongs to one cluster: im processes that no bus joins would keep it together and tell each other
nothing.

Each im process holds a lock in its store. Whoever starts looks whose locks are there, and asks over its own
bus for each of them: who answers is of the same cluster (coordination/claim.py answers), and so is whom etcd
lists, heard or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from control.bus.base import Bus
from control.coordination.claim import holder_of
from control.errors import StartError
from control.keys.data_folder import STORE_FILE
from control.logs import get_logger
from control.node_ids import Peer, node_key, peer_of
from control.part import Part
from control.settings import Settings
from im_service.storage.errors import StoreError
from im_service.storage.holders import Holders

log = get_logger("im")

LOOK_S = 0.3
AGAIN_S = 1.0


class StoreClaim(Part):
    """Started before the store is opened, stopped after it is closed. `bus` is None where there is one
    process only. `listed`: who is of this cluster by etcd. Raises StartError when another cluster holds the
    store.
    """

    def __init__(
        self,
        holders: Holders,
        own: Peer,
        where: str,
        bus: Bus | None,
        listed: Callable[[], Collection[Peer]] = frozenset,
    ) -> None:
        self._holders = holders
        self._key = node_key(*own)
        self._where = where
        self._bus = bus
        self._listed = listed
        self._lost = False

    async def start(self) -> None:
        await self._holders.hold(self._key)
        loop = asyncio.get_running_loop()
        until = loop.time() + self._holders.patience_s
        while True:
            found = await holders_of(self._holders, self._bus, self._key, self._listed())
            if all(found.values()):
                return
            if loop.time() >= until:
                refuse_foreign([key for key, ours in found.items() if ours is False], self._where)
                return  # somebody with that node id is on this bus, and silent
            await asyncio.sleep(LOOK_S)

    async def tick(self) -> None:
        """A lock that was lost with its connection is taken again."""
        try:
            async with asyncio.timeout(AGAIN_S):
                await self._holders.hold(self._key)
            self._lost = False
        except (StoreError, OSError, TimeoutError) as error:
            if not self._lost:
                log.warning("the lock of the store is lost, and taken again later", reason=str(error))
            self._lost = True

    async def stop(self, grace_s: float) -> None:
        await self._holders.release()


async def holders_of(
    holders: Holders, bus: Bus | None, own: int = 0, listed: Collection[Peer] = ()
) -> dict[int, bool | None]:
    """Node key of each other holder -> is it of the cluster of this bus; None when that is not known now."""
    found: dict[int, bool | None] = {}
    for key in await holders.others(own):
        node_id, epoch = peer_of(key)
        if (node_id, epoch) in listed:
            found[key] = True
            continue
        holder = 0 if bus is None else await holder_of(bus, node_id)
        found[key] = None if holder is None else holder == epoch
    return found


def refuse_foreign(foreign: list[int], where: str) -> None:
    """StartError when there are holders of another cluster."""
    if foreign:
        nodes = ", ".join(str(peer_of(key)[0]) for key in foreign)
        raise StartError(
            f"the store ({where}) is used by another server, node {nodes} on no bus of this"
            " one: stop it, join both by one bus, or give this one its own store"
        )


def make_claim(
    settings: Settings, own: Peer, bus: Bus | None, listed: Callable[[], Collection[Peer]]
) -> StoreClaim:
    """For the store that the settings name."""
    holders, where = make_holders(settings)
    return StoreClaim(holders, own, where, bus, listed)


def make_holders(settings: Settings) -> tuple[Holders, str]:
    """Of the store that the settings name, and where it is."""
    if settings.store.kind == "postgres":
        from im_service.storage.postgres.holders import LockHolders

        return LockHolders(settings.store.url.reveal()), str(settings.store.url)
    from im_service.storage.sqlite.holders import FileHolders

    folder = settings.server.data_dir
    return FileHolders(folder), str(folder / STORE_FILE)

"""Who a process is in its cluster: its node id, and the epoch that names this life of it.

etcd                   the lowest free number, held by a lease; the epoch is the revision of its key
a bus without etcd     server.node_id, or the lowest number that nobody answers to; the epoch is drawn
one process            1
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from control.bus.engines import make_bus
from control.coordination.claim import holder_of
from control.errors import StartError
from control.logs import get_logger
from control.node_ids import ALONE, MAX_NODE_ID, Peer, new_epoch
from control.part import Check, Part, Source
from control.settings import Settings

if TYPE_CHECKING:
    from control.coordination.etcd.client import EtcdClient
    from control.coordination.etcd.registration import Registration

log = get_logger("coordination")

LOOK_S = 30.0
"""Between two looks whether etcd is full."""


@dataclass
class Etcd:
    """The connection to etcd, and the node id that is held there."""

    client: EtcdClient
    registration: Registration

    async def close(self) -> None:
        await self.registration.stop()
        await self.client.close()


@dataclass
class Identity(Part):
    """`own` never changes while the process lives. As a part it is stopped last: the id goes back then."""

    own: Peer
    etcd: Etcd | None = None
    keys: tuple[int, int] | None = None
    """Revision and generation of the cluster's keys (keys/shared.py); None: keys are not shared."""
    taken_by: str = ""
    """Another process has the id: this one can only leave."""
    _look_at: float = 0.0
    _looking: asyncio.Task[None] | None = None

    async def tick(self) -> None:
        """A full etcd is known before somebody has to change something."""
        if self.etcd is not None and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            self._looking = asyncio.create_task(self._look(self.etcd), name="etcd-look")

    async def _look(self, etcd: Etcd) -> None:
        from control.coordination.etcd.errors import EtcdError

        with contextlib.suppress(EtcdError):
            await etcd.client.look()

    async def stop(self, grace_s: float = 0.0) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self.etcd is not None:
            await self.etcd.close()

    def on_taken(self, leave: Callable[[], None]) -> None:
        """Call `leave` when another process has the id."""

        def taken(name: str) -> None:
            self.taken_by = name
            leave()

        if self.etcd is not None:
            self.etcd.registration.on_taken(taken)

    def checks(self) -> Mapping[str, Check]:
        """Without its lease a process goes on: etcd may be away for all. Without its id it does not."""
        if self.etcd is None:
            return {}
        return {"identity": lambda: f"node id taken by {self.taken_by}" if self.taken_by else None}

    def sources(self) -> Mapping[str, Source]:
        if (etcd := self.etcd) is None:
            return {}
        return {"etcd": lambda: {**etcd.client.numbers(), **etcd.registration.numbers()}}


async def take_identity(settings: Settings) -> tuple[Settings, Identity]:
    """The settings with the number this process has. Raises StartError, BusError."""
    if settings.etcd.endpoints:
        etcd = await _from_etcd(settings)
        own = etcd.registration.own
        return numbered(settings, own[0]), Identity(own, etcd)
    node_id = settings.server.node_id
    if not node_id:
        node_id = ALONE if settings.bus.kind == "memory" else await free_node_ids(settings, 1)
    return numbered(settings, node_id), Identity((node_id, new_epoch()))


def numbered(settings: Settings, node_id: int) -> Settings:
    return replace(settings, server=replace(settings.server, node_id=node_id))


async def connect_etcd(settings: Settings) -> EtcdClient:
    """Raises StartError."""
    from control.coordination.etcd.client import connect
    from control.coordination.etcd.errors import EtcdError

    try:
        return await connect(settings.etcd)
    except EtcdError as error:
        raise StartError(str(error)) from error


async def _from_etcd(settings: Settings) -> Etcd:
    from control.coordination.etcd.errors import EtcdError
    from control.coordination.etcd.registration import Registration

    client = await connect_etcd(settings)
    registration = Registration(
        client,
        settings.server.node_name or f"{os.getpid()} on {socket.gethostname()}",
        roles=settings.server.roles,
    )
    try:
        await registration.start()
    except BaseException as error:
        await client.close()
        if isinstance(error, EtcdError):
            raise StartError(str(error)) from error
        raise
    return Etcd(client, registration)


async def free_node_ids(settings: Settings, count: int) -> int:
    """The first of the lowest `count` numbers in a row that nobody on the bus answers to. Raises BusError,
    StartError when there are none.
    """
    bus = make_bus(settings)
    await bus.start()
    try:
        row = 0
        for node_id in range(1, MAX_NODE_ID + 1):
            row = row + 1 if await holder_of(bus, node_id) == 0 else 0
            if row == count:
                return node_id - count + 1
    finally:
        await bus.close()
    raise StartError(f"no {count} free node ids in a row on this bus: 1 to {MAX_NODE_ID} are taken")

"""The cluster that a start would join: its bus, its root key, and whose store it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from control.bus.base import Bus
from control.bus.engines import make_bus
from control.coordination.same_root import refuse_other_root, root_of_cluster
from control.im.store_claim import holders_of, make_holders, refuse_foreign
from control.keys.errors import KeyFileError
from control.keys.keystore import KeyStore
from control.node_ids import ALONE, peer_of
from control.process.data_folder import Holder
from control.settings import Settings
from program.doctor.finding import RED, Finding, refusal

T = TypeVar("T")


def cluster(settings: Settings, running: Holder | None, has_store: bool) -> Iterator[Finding]:
    split = settings.bus.kind != "memory"
    if split:
        reached = refusal("bus", lambda: _reach(settings), "start the NATS server, or correct bus.nats_url")
        yield reached
        if reached.level == RED:
            return
    if split and set(settings.server.roles) != {"im"}:
        yield refusal("root key", lambda: _same_root(settings), "put the cluster's `keys` folder here")
    if has_store:
        yield refusal("store's cluster", lambda: _of_us(settings, running), "see docs/OPERATIONS.md")


def _reach(settings: Settings) -> str:
    async def nothing(bus: Bus) -> None: ...

    asyncio.run(_on_bus(settings, nothing))
    return f"{settings.bus.nats_url} answers"


def _same_root(settings: Settings) -> str:
    told = asyncio.run(_on_bus(settings, root_of_cluster))
    try:
        own = KeyStore(settings).root
    except KeyFileError:
        own = ""
    refuse_other_root(told, own)
    return f"that of {told.name}" if told else "nobody on the bus tells one"


def _of_us(settings: Settings, running: Holder | None) -> str:
    holders, where = make_holders(settings)

    async def ask(bus: Bus | None) -> dict[int, bool | None]:
        return await holders_of(holders, bus)

    split = settings.bus.kind != "memory"
    found = asyncio.run(_on_bus(settings, ask) if split else ask(None))
    foreign = [key for key, ours in found.items() if ours is False]
    if running and not split:  # no bus tells which of them is the server of this folder
        own = [key for key in foreign if peer_of(key)[0] == (settings.server.node_id or ALONE)]
        foreign = [key for key in foreign if key not in own[:1]]
    refuse_foreign(foreign, where)
    return f"processes of it that use the store: {len(found)}"


async def _on_bus(settings: Settings, work: Callable[[Bus], Awaitable[T]]) -> T:
    bus = make_bus(settings)
    await bus.start()
    try:
        return await work(bus)
    finally:
        await bus.close()

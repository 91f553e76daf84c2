"""The cluster that a start would join: its bus, its etcd and keys, and whose store it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from control.bus.base import Bus
from control.bus.engines import make_bus
from control.coordination.base import NodeInfo
from control.coordination.beacons import BeaconCoordination
from control.coordination.clocks import said
from control.coordination.documents import Document, DocumentsUnavailable
from control.coordination.identity import connect_etcd
from control.coordination.mutes import names_of
from control.coordination.roster import Roster
from control.coordination.same_root import refuse_other_root, root_of_cluster
from control.errors import StartError
from control.im.store_claim import holders_of, make_holders, refuse_foreign
from control.keys.data_folder import KEY_FOLDER
from control.keys.errors import KeyFileError
from control.keys.keystore import KeyStore, would_make_keys
from control.keys.server_keys import ROOT_FILE
from control.keys.shared import KEY, shared_with
from control.node_ids import ALONE, peer_of
from control.process.data_folder import Holder
from control.process.first_root import refuse_new_root
from control.settings import Settings
from program.doctor.finding import GREEN, RED, YELLOW, Finding, refusal

T = TypeVar("T")
ETCD_REFUSES = {
    "authentication failed": "correct etcd.user and etcd.password",
    "user name is empty": "etcd has users: set etcd.user and etcd.password",
    "etcd.ca:": "correct that file: it holds the authorities of etcd, as PEM",
    "etcd.cert:": "correct that file, or renew the certificate",
    "etcd.key:": "correct that file",
    "VERIFY_FAILED": "etcd's certificate is not of etcd.ca, or does not name the host of etcd.endpoints",
    "handshake": "etcd refuses etcd.cert, or asks for one: its --trusted-ca-file must hold the authority",
    "permission denied": "give etcd.user the right to read and write below etcd.prefix",
}
"""What it says -> what to do."""
LISTEN_S = 3.0
"""At most, for the beacons of others."""


def cluster(settings: Settings, running: Holder | None, has_store: bool) -> Iterator[Finding]:
    split = settings.bus.kind != "memory"
    heard: list[NodeInfo] = []
    if split:
        reached = refusal("bus", lambda: _reach(settings), "start the NATS server, or correct bus.nats_url")
        yield reached
        if reached.level == RED:
            return
        ahead_s, heard = asyncio.run(_on_bus(settings, lambda bus: _listen(settings, bus)))
        yield _clock(settings, ahead_s)
    if settings.etcd.endpoints:
        reached = refusal("etcd", lambda: _reach_etcd(settings), "start etcd, or correct etcd.endpoints")
        advice = next((told for word, told in ETCD_REFUSES.items() if word in reached.found), reached.advice)
        yield replace(reached, advice=advice)
        if reached.level == RED:
            return
        if split:
            yield _heard(asyncio.run(_listed(settings)), heard)
    if split and set(settings.server.roles) != {"im"}:
        if settings.auth.keys_secret:
            yield refusal(
                "keys of the cluster",
                lambda: _keys_there(settings),
                "see Several processes in docs/OPERATIONS.md",
            )
        if not settings.auth.keys_secret or (settings.server.data_dir / KEY_FOLDER / ROOT_FILE).exists():
            yield refusal("root key", lambda: _same_root(settings), "put the cluster's `keys` folder here")
    if has_store:
        yield refusal("store's cluster", lambda: _of_us(settings, running), "see docs/OPERATIONS.md")


def _reach(settings: Settings) -> str:
    async def nothing(bus: Bus) -> None: ...

    asyncio.run(_on_bus(settings, nothing))
    return f"{settings.bus.nats_url} answers"


async def _listen(settings: Settings, bus: Bus) -> tuple[float, list[NodeInfo]]:
    """What the beacons of a moment say: how far this clock is ahead, and who is there."""
    heard = BeaconCoordination(bus, settings.bus.beacon_s, settings.bus.dead_after_s)
    await heard.start()
    await asyncio.sleep(min(LISTEN_S, 1.5 * settings.bus.beacon_s))
    found = heard.clocks.ahead_s(), heard.nodes()
    await heard.stop()
    return found


async def _listed(settings: Settings) -> list[NodeInfo]:
    """Who is there by etcd. Raises StartError."""
    from control.coordination.etcd.documents import EtcdDocuments

    client = await connect_etcd(settings)
    roster = Roster(EtcdDocuments(client, settings.etcd.prefix))
    try:
        await roster.start()
        return roster.listed() or []
    finally:
        await roster.stop(0.0)
        await client.close()


def _heard(listed: list[NodeInfo], heard: list[NodeInfo]) -> Finding:
    there = {(info.node_id, info.epoch) for info in heard}
    silent = names_of([info for info in listed if (info.node_id, info.epoch) not in there])
    if not silent:
        return Finding(GREEN, "processes", f"{len(listed)} in etcd, all heard on the bus")
    return Finding(
        YELLOW, "processes", f"in etcd, not heard on the bus: {silent}",
        "look whether NATS is one cluster from here (its routes), and whether they have started",
    )  # fmt: skip


def _clock(settings: Settings, ahead_s: float) -> Finding:
    if abs(ahead_s) <= settings.bus.clock_off_s:
        return Finding(
            GREEN, "clock", f"within {settings.bus.clock_off_s:g} s of those that are told on the bus"
        )
    return Finding(
        YELLOW, "clock", said(ahead_s), "look at NTP here and there: `chronyc tracking`, `timedatectl`"
    )


def _reach_etcd(settings: Settings) -> str:
    asyncio.run(_in_etcd(settings))
    return f"{', '.join(settings.etcd.endpoints)}: answers"


def _keys_there(settings: Settings) -> str:
    document = asyncio.run(_in_etcd(settings))
    if document is None:
        if would_make_keys(settings):
            asyncio.run(refuse_new_root(settings))
        return "not in etcd: the first process gives it its own"
    return f"in etcd, {len(shared_with(settings, document).files)} files"


async def _in_etcd(settings: Settings) -> Document | None:
    """The document of the cluster's keys."""
    from control.coordination.etcd.documents import EtcdDocuments

    client = await connect_etcd(settings)
    try:
        return await EtcdDocuments(client).get(KEY)
    except DocumentsUnavailable as error:
        raise StartError(str(error)) from error
    finally:
        await client.close()


def _same_root(settings: Settings) -> str:
    told = asyncio.run(_on_bus(settings, root_of_cluster))
    try:
        own = KeyStore(settings).root
    except KeyFileError:
        own = ""
    refuse_other_root(told, own)
    if not own and settings.etcd.endpoints:
        asyncio.run(_new_root_in_etcd(settings))
    return f"that of {told.name}" if told else "nobody on the bus tells one"


async def _new_root_in_etcd(settings: Settings) -> None:
    from control.coordination.etcd.documents import EtcdDocuments

    client = await connect_etcd(settings)
    try:
        await refuse_new_root(settings, EtcdDocuments(client))
    except DocumentsUnavailable as error:
        raise StartError(str(error)) from error
    finally:
        await client.close()


def _of_us(settings: Settings, running: Holder | None) -> str:
    holders, where = make_holders(settings)

    async def ask(bus: Bus | None) -> dict[int, bool | None]:
        return await holders_of(holders, bus, listed=of_etcd)

    split = settings.bus.kind != "memory"
    listed = asyncio.run(_listed(settings)) if settings.etcd.endpoints else []
    of_etcd = {(info.node_id, info.epoch) for info in listed}
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

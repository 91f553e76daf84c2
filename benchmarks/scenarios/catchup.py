"""A device that was away comes back: a real server over a filled SQLite store, one SDK client with an old
cursor.

The store is filled before the server starts. Every conversation holds `known` messages that the device has
read and acknowledged, and `each` that came while it was away; only these are to be transferred.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.figures import ServerReport
from benchmarks.scenarios.context import Context
from benchmarks.scenarios.preparation import OPEN_CORE, OPEN_SERVICE
from benchmarks.servers import Sample, ServerPlan, Servers
from control.keys.data_folder import KEY_FOLDER
from control.keys.server_keys import ServerKeys

USER, DEVICE = "away", "phone"
BATCH = 500
AWAY_MS = 3_600_000
TIMEOUT_S = 120.0
STATS_TIMEOUT_S = 15.0
ROWS = "qianwan_store_rows_read_total"


@dataclass(frozen=True, slots=True)
class CatchupOptions:
    conversations: int = 500
    each: int = 200  # messages a conversation that came meanwhile
    known: int = 50  # messages a conversation that the device has already
    size: int = 60
    bound_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Caught:
    """What one catch-up took, and what the server did for it."""

    seconds: float
    messages: int
    conversations: int
    doubled: int
    calls: int  # frames that the client sent: requests, acknowledgements, login
    bytes: int  # ciphertext from the server
    reads: int  # operations of the store
    rows: int  # rows these gave
    client_cpu_s: float
    server: ServerReport


def run_catchup(context: Context, options: CatchupOptions) -> Caught:
    """Fill, start, log in, wait for the last message."""
    servers = Servers(ServerPlan(core=OPEN_CORE, service=OPEN_SERVICE))
    data = servers.folder / "data"
    data.mkdir(mode=0o700)
    # A store without the key that clients pin is a lost key, and no server starts over it.
    ServerKeys.load_or_create(data / KEY_FOLDER, int(time.time()))
    context.say(f"storing {options.conversations * (options.known + options.each):,} messages")
    cursor = asyncio.run(_fill(data / "store.sqlite3", options))
    with servers:
        context.say("catching up")
        return asyncio.run(_catch_up(servers, options, cursor))


def talk(number: int) -> tuple[str, str]:
    """(sender, conversation) of one conversation."""
    from im_service.ids import single

    sender = f"s{number:05}"
    return sender, single(USER, sender)


async def _fill(path: Path, options: CatchupOptions) -> int:
    """-> the `sync` cursor of the device before it went away."""
    from im_service.storage.records import Mark, NewLogin
    from im_service.storage.sqlite import SqliteStore

    store = SqliteStore(path)
    await store.start()
    try:
        now = time.time_ns() // 1_000_000
        await store.logins([NewLogin(USER, DEVICE, 1, 1)], now - 2 * AWAY_MS)
        await _append(store, options, 0, options.known, now - 2 * AWAY_MS + 1)
        marks = [Mark(talk(n)[1], options.known) for n in range(options.conversations)]
        if options.known:
            await store.ack(USER, DEVICE, marks)
            await store.read(USER, marks)
        page = await store.changed(USER, DEVICE, 0, 500)
        while page.more:
            page = await store.changed(USER, DEVICE, page.cursor, 500)
        await _append(store, options, options.known, options.each, now - AWAY_MS)
        return page.cursor
    finally:
        await store.stop()


async def _append(store: object, options: CatchupOptions, first: int, count: int, at: int) -> None:
    """`count` messages to every conversation, mixed like an evening's talk."""
    from im_service.models import encode, pack_payload
    from im_service.storage.records import AppendResult, NewMessage
    from im_service.storage.sqlite import SqliteStore

    assert isinstance(store, SqliteStore)
    payload = pack_payload(encode({"text": "x" * options.size}))
    talks = [talk(n) for n in range(options.conversations)]
    rows = [
        NewMessage(name, sender, f"c{i}", b"", (at + i) << 20 | n, at + i, 0, payload)
        for i in range(first, first + count)
        for n, (sender, name) in enumerate(talks)
    ]
    loop = asyncio.get_running_loop()
    for start in range(0, len(rows), BATCH):
        stored: asyncio.Future[list[AppendResult] | BaseException] = loop.create_future()
        store.append(rows[start : start + BATCH], stored.set_result)
        answer = await stored
        if isinstance(answer, BaseException):
            raise answer


async def _catch_up(servers: Servers, options: CatchupOptions, cursor: int) -> Caught:
    from qianwan import Client
    from qianwan.delivery.store import MemoryCursor, Position

    token = servers.call("POST", "/v1/tokens", {"user": USER, "device": DEVICE})["token"]
    known = {talk(n)[1]: (options.known, options.known) for n in range(options.conversations)}
    store = MemoryCursor()
    store.save(Position(USER, cursor, known if options.known else {}))
    wanted = options.conversations * options.each
    seen: Counter[tuple[str, int]] = Counter()
    before = servers.sample()
    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.timeout(TIMEOUT_S):
        async with Client(
            f"http://{servers.processes[0].http}", token=token, device_id=DEVICE, platform=1, store=store
        ) as me:
            async for message in me.messages():
                seen[message.conversation, message.seq] += 1
                if len(seen) >= wanted:
                    break
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
    after = await _settled(servers)

    def grew(name: str) -> int:
        return int(sum(v - before.metrics.get(k, 0) for k, v in after.metrics.items() if k.startswith(name)))

    return Caught(
        took,
        len(seen),
        len({name for name, _ in seen}),
        sum(seen.values()) - len(seen),
        grew("qianwan_gateway_frames_in"),
        grew("qianwan_gateway_bytes_out"),
        grew("qianwan_store_reads_total"),
        grew("qianwan_store_rows_read_total"),
        cpu,
        ServerReport.between(before, after),
    )


async def _settled(servers: Servers) -> Sample:
    """A sample whose numbers of the store are of after the work: the server looks every few seconds."""
    deadline = time.monotonic() + STATS_TIMEOUT_S
    first = last = servers.sample()
    while time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        last = servers.sample()
        if last.metrics.get(ROWS, 0) > first.metrics.get(ROWS, 0):
            break
    return replace(first, metrics=last.metrics)

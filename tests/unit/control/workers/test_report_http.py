"""HTTP of many workers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import msgspec

from control.settings import Settings
from control.workers.report_http import ASKED_AT_ONCE, ReportHttp

HUNG = 3 * ASKED_AT_ONCE


async def test_hung_workers_do_not_hold_up_the_others(tmp_path: Path) -> None:
    """Every worker is asked while the hung ones keep their questions open; all are named by the answer."""
    waiting = 0
    all_wait, let_go = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == HUNG:
            all_wait.set()
        ends = [asyncio.ensure_future(reader.read()), asyncio.ensure_future(let_go.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        waiting -= 1
        writer.close()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(msgspec.msgpack.encode({"checks": {"core": "ok"}}))
        writer.close()

    sockets = [tmp_path / str(number) for number in range(HUNG + 1)]
    async with AsyncExitStack() as stack:
        for path in sockets:
            handler = answer if path is sockets[-1] else hang
            await stack.enter_async_context(await asyncio.start_unix_server(handler, path))
        reports = ReportHttp(Settings(), sockets, lambda: [(1000 + n, 0) for n in range(len(sockets))])
        transport = httpx.ASGITransport(app=reports.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://workers") as client:
            asking = asyncio.ensure_future(client.get("/readyz"))
            every = asyncio.ensure_future(all_wait.wait())
            await asyncio.wait([asking, every], return_when=asyncio.FIRST_COMPLETED)
            assert every.done()
            let_go.set()
            found = await asking
    assert found.status_code == 503
    assert set(found.json()["checks"]) == {f"worker-{number}" for number in range(1, HUNG + 1)}

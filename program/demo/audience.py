"""Scene three, from the stage: one speaker, and the audience in processes of their own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import urllib.request
from collections.abc import Callable

import msgspec
import qianwan

from control.process.parent import ending_with_me
from program.demo.members import Part, Plan, Report
from program.demo.tally import SUITES, TRANSPORTS, Row

ROOM = "demo"
BROADCASTS_PER_S = 40.0
HTTP_TIMEOUT_S = 10.0

Progress = Callable[[str, int], None]


class AudienceFailed(Exception):
    """A member process could not do its part."""


def plans(url: str, api_key: str, members: int, broadcasts: int, processes: int) -> list[Plan]:
    """Members dealt out over processes, and in each over all pairs of suite and transport."""
    kinds = list(itertools.product(SUITES, TRANSPORTS))
    found = []
    for number in range(processes):
        parts: list[Part] = [Part(suite, transport, []) for suite, transport in kinds]
        for index in range(number, members, processes):
            parts[index // processes % len(kinds)].users.append(f"member{index}")
        found.append(Plan(url, api_key, ROOM, broadcasts, [part for part in parts if part.users]))
    return found


async def perform(
    url: str, api_key: str, token: Callable[[str], str], members: int, broadcasts: int, progress: Progress
) -> list[Row]:
    """Run the scene. Returns the speaker's row and one per suite and transport. Raises AudienceFailed."""
    await asyncio.to_thread(make_room, url, api_key)
    groups = plans(url, api_key, members, broadcasts, 2)
    processes = [await _start(plan) for plan in groups]
    joined = [0] * len(groups)
    received = [0] * len(groups)
    everybody = asyncio.Event()
    rows: list[Row] = []

    async def listen(number: int, process: asyncio.subprocess.Process) -> None:
        stream = process.stdout
        if stream is None:
            raise AudienceFailed("no pipe")
        while line := await stream.readline():
            report = msgspec.json.decode(line, type=Report)
            if report.error:
                raise AudienceFailed(report.error)
            joined[number] = max(joined[number], report.joined)
            received[number] = max(received[number], report.received)
            progress("joined", sum(joined))
            progress("received", sum(received))
            rows.extend(report.rows)
            if sum(joined) >= members:
                everybody.set()
        if await process.wait():
            raise AudienceFailed(f"a member process left with {process.returncode}")

    async def stage() -> Row:
        await everybody.wait()
        return await _speak(url, token("speaker"), broadcasts)

    try:
        async with asyncio.TaskGroup() as group:
            for number, process in enumerate(processes):
                group.create_task(listen(number, process))
            speaker = group.create_task(stage())
    except* AudienceFailed as failures:
        raise AudienceFailed(str(failures.exceptions[0])) from None
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return [speaker.result(), *_by_kind(rows)]


def make_room(url: str, api_key: str) -> None:
    """The stage, without the budget of a room that drops what nobody can read: every message is counted."""
    request = urllib.request.Request(
        f"{url}/v1/rooms",
        json.dumps({"room": ROOM, "owner": "speaker", "normal_per_s": 0}).encode(),
        {"Content-Type": "application/json", "X-API-Key": api_key},
    )
    try:
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S):
            return
    except OSError as error:
        raise AudienceFailed(f"the room could not be made: {error}") from None


async def _start(plan: Plan) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "program.demo.members",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),
        preexec_fn=ending_with_me(),
    )
    if process.stdin is None:
        raise AudienceFailed("no pipe")
    process.stdin.write(msgspec.json.encode(plan) + b"\n")
    await process.stdin.drain()
    process.stdin.close()
    return process


async def _speak(url: str, token: str, broadcasts: int) -> Row:
    """Say `broadcasts` numbered messages at an even pace, each acknowledged."""
    row = Row("speaker", "chachapoly", "tcp", 1)
    async with qianwan.Client(
        url, token=token, device_id="speaker-1", suite="chachapoly", transport="tcp"
    ) as me:
        room = await me.join_room(ROOM)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(1, broadcasts + 1):
            row.sent += 1
            await room.send(f"broadcast {number}", client_id=f"demo-{number}")
            row.acked += 1
            await asyncio.sleep(max(0.0, began + number / BROADCASTS_PER_S - loop.time()))
    return row


def _by_kind(rows: list[Row]) -> list[Row]:
    """Rows of all processes, added up by suite and transport."""
    merged: dict[tuple[str, str], Row] = {}
    for row in rows:
        known = merged.setdefault((row.suite, row.transport), Row(row.scene, row.suite, row.transport, 0))
        for name in ("clients", "expected", "delivered", "lost", "doubled", "swapped"):
            setattr(known, name, getattr(known, name) + getattr(row, name))
    return [merged[kind] for kind in sorted(merged)]

"""What a worker says of itself, over a Unix socket: one connection, one report, end of file.

A report is a msgpack map with the sections of `control.metrics.Sources`, the answers of the health checks and
the worker's own memory and CPU time. `merged` adds reports up.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from control.part import Part
from control.process.process import Process

FETCH_TIMEOUT_S = 5.0
PRIVATE = ("Private_Clean:", "Private_Dirty:")


class ReportSocket(Part):
    """Answers with the report of this process on a Unix socket at `path`."""

    def __init__(self, process: Process, path: Path) -> None:
        self._process = process
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, self._path)

    async def stop(self, grace_s: float) -> None:
        if self._server is not None:
            self._server.close()

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(msgspec.msgpack.encode(report_of(self._process)))
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


def report_of(process: Process) -> dict[str, Any]:
    report: dict[str, Any] = {"checks": process.health.report()}
    report |= {name: source() for name, source in process.sources().sections.items()}
    report["memory"] = {"private_bytes": private_bytes("self"), "cpu_s": time.process_time()}
    return report


def private_bytes(pid: int | str) -> int:
    """Memory that only this process holds; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(PRIVATE)) * 1024


async def fetch(path: Path) -> dict[str, Any] | None:
    """The report of one worker; None when it does not answer."""
    try:
        async with asyncio.timeout(FETCH_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(os.fspath(path))
            try:
                data = await reader.read()
            finally:
                writer.close()
        report: dict[str, Any] = msgspec.msgpack.decode(data, strict=False)
    except (OSError, TimeoutError, msgspec.MsgspecError):
        return None
    return report


def merged(reports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers added, maps key by key, flags true only when all are; `max_` the largest, `min_` the least."""
    total: dict[str, Any] = {}
    for report in reports:
        for key, value in report.items():
            if isinstance(value, Mapping):
                total[key] = merged([total.get(key, {}), value])
            elif isinstance(value, bool):
                total[key] = value and total.get(key, True)
            elif isinstance(value, int | float):
                total[key] = _added(str(key), total.get(key), value)
    return total


def _added(key: str, before: float | None, value: float) -> float:
    if before is None:
        return value
    if key.startswith("max_"):
        return max(before, value)
    return min(before, value) if key.startswith("min_") else before + value

"""The HTTP side of many workers: health of all together, metrics added up."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import uvloop
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from control.logs import get_logger
from control.metrics import Sources, make_registry
from control.process.descriptors import shares
from control.process.http_protocol import Bounds
from control.process.http_server import HttpServer
from control.settings import Settings
from control.settings.values import parse_address
from control.workers.reports import FETCH_TIMEOUT_S, fetch, merged

log = get_logger("workers")

ASKED_AT_ONCE = 4
"""Workers that make their reports at the same time: all at once would take every core from the loops."""

Board = Callable[[], list[tuple[int, int]]]


class ReportHttp:
    """Asks every worker at each request; keeps the last sums only for the collectors."""

    def __init__(self, settings: Settings, sockets: list[Path], board: Board) -> None:
        self._sockets = sockets
        self._board = board
        self._sums: dict[str, Any] = {}
        self._answered = 0
        self._registry = make_registry(
            Sources(
                settings.node_name,
                tuple(sorted(settings.server.roles)),
                {name: self._section(name) for name in EMPTY if name != "etcd" or settings.etcd.endpoints},
                ready=lambda: self._answered == len(sockets),
            )
        )
        self._registry.register(self)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/livez", self._live),
                Route("/startupz", self._ready),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
            ]
        )

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        """What only the supervisor knows (a prometheus-client collector)."""
        states = self._board()
        memory = self._sums.get("memory", {})
        alive = sum(pid > 0 for pid, _ in states)
        yield GaugeMetricFamily("qianwan_workers", "Worker processes alive", alive)
        yield CounterMetricFamily(
            "qianwan_worker_restarts", "Workers started again after they died", sum(n for _, n in states)
        )
        yield GaugeMetricFamily(
            "qianwan_workers_private_bytes", "Memory the workers do not share", memory.get("private_bytes", 0)
        )
        yield CounterMetricFamily(
            "qianwan_workers_cpu_seconds", "CPU time of the live workers", memory.get("cpu_s", 0.0)
        )

    def _section(self, name: str) -> Callable[[], Mapping[str, Any]]:
        return lambda: self._sums.get(name, EMPTY[name])

    async def _ask(self) -> dict[str, str]:
        """Sums of all reports; the checks of every worker that is not well."""
        turn = asyncio.Semaphore(ASKED_AT_ONCE)
        patience_s = FETCH_TIMEOUT_S / 2 * min(1.0, ASKED_AT_ONCE / len(self._sockets))

        async def ask(path: Path) -> dict[str, Any] | None:
            async with turn:
                asked = asyncio.ensure_future(fetch(path))
                await asyncio.wait([asked], timeout=patience_s)  # a hung one holds the others up no longer
            return await asked

        reports = await asyncio.gather(*map(ask, self._sockets))
        self._sums = merged([report for report in reports if report is not None])
        problems: dict[str, str] = {}
        for number, (report, (pid, restarts)) in enumerate(zip(reports, self._board(), strict=True), 1):
            if report is None:
                problems[f"worker-{number}"] = f"no answer (pid {pid}, started again {restarts} times)"
            elif bad := [f"{key}: {text}" for key, text in report["checks"].items() if text != "ok"]:
                problems[f"worker-{number}"] = ", ".join(bad)
        self._answered = len(self._sockets) - len(problems)
        return problems

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "checks": {}})

    async def _ready(self, _: Request) -> Response:
        problems = await self._ask()
        if not problems:
            return JSONResponse({"status": "ok", "checks": {"workers": "ok"}})
        return JSONResponse({"status": "failing", "checks": problems}, 503)

    async def _metrics(self, _: Request) -> Response:
        await self._ask()
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


# What a collector reads as long as no worker has answered.
EMPTY: dict[str, dict[str, Any]] = {
    "gateway_stats": {},
    "gateway_stages": {},
    "node": {
        "sessions": 0, "logins": 0, "wakes": 0, "events": 0, "refusals": {},
        "downlink_dropped": 0, "downlink_delayed": 0, "downlink_waiting": 0, "sync_hints": 0,
    },
    "drain": {
        "draining": 0, "waits": 0, "told": 0, "left": 0, "remaining": 0, "rate": 0, "aged": 0, "evicted": 0,
    },
    "policy": {"reports": 0, "unreadable": 0, "folded": 0, "max_cached": 0, "arms": {}},
    "overload": {"max_step": 0, "taken": {}, "load": {}},
    "admission": {"new_per_s": 0, "known_per_s": 0, "max_door": 0},
    "upstream": {"topics": 0, "unavailable": 0, "unknown": 0, "topic_drifts": 0},
    "streams": {"gaps": 0, "losses": 0, "repaired": 0, "unrepairable": 0},
    "bus": {"connected": False, "dropped": 0},
    "nodes": {"max_nodes": 0, "max_lapsed": 0, "max_mute": 0, "max_draining": 0, "max_clock_off_s": 0.0},
    "etcd": {
        "up": False, "max_full": 0, "max_denied": 0, "min_lease_left_s": 0.0, "requests_total": 0,
        "retries_total": 0,
        "logins_total": 0, "reconnects_total": 0, "divergences_total": 0,
    },
}  # fmt: skip


def serve_reports(settings: Settings, sockets: list[Path], board: Board) -> int:
    """The life of the process that speaks HTTP for the workers. Returns its exit code; raises StartError when
    the address is taken.
    """
    from control.errors import StartError

    async def main() -> int:
        stop = asyncio.Event()
        reports = ReportHttp(settings, sockets, board)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD))
        server = HttpServer(
            reports.app(),
            *parse_address(settings.control.http),
            Bounds(shares(settings).http, settings.limits.http_request_s),
        )
        try:
            await server.start()
        except OSError as error:
            raise StartError(f"{settings.control.http}: {error}") from error
        log.info("started", http=server.address)
        await stop.wait()
        await server.stop()
        return 0

    gc.enable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())

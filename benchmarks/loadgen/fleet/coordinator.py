"""The fleet's own end: starts the processes, gives out requests, adds up answers."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.loadgen.fleet.process import Process
from benchmarks.loadgen.fleet.result import as_many_here, here, measured, summed
from benchmarks.loadgen.fleet.shape import (
    CLIENTS_PER_PROCESS,
    Answer,
    Counters,
    FleetError,
    Load,
    Measured,
    Progress,
    Request,
    Shape,
    Share,
    shares,
)
from benchmarks.loadgen.histogram import Histogram
from control.process.parent import ending_with_me
from frame.constants import USER_PREFIX

START_TIMEOUT_S = 180.0  # a million tokens are signed meanwhile
CLOSE_TIMEOUT_S = 60.0  # a million sockets are closed
MANY_PROCESSES = 8  # from here on each look at all of them costs more than it tells
SETTLE_S = 0.5  # without an arrival: an overload has drained
SETTLE_TIMEOUT_S = 60.0
LEAD_S = 0.3  # between giving out a schedule and its first message


class Fleet:
    """See the module. `close` (or leaving the `with`) ends every process."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        total = shape.members + shape.publishers + shape.deaf
        self.total = total
        wanted = shape.processes or max(os.cpu_count() or 1, -(-total // CLIENTS_PER_PROCESS))
        self.shares = shares(
            shape.members,
            shape.publishers,
            max(1, min(wanted, max(1, shape.members // 2))),
            shape.pair,
            shape.deaf,
        )
        self.processes: list[Process] = []
        self.pids: list[int] = []
        self._clean = True
        self._folder = tempfile.TemporaryDirectory(prefix="qianwan-bench-")
        self._host: subprocess.Popen[bytes] | None = None
        self._run = secrets.randbits(32)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def senders(self) -> int:
        return self.shape.members // 2 if self.shape.pair else self.shape.publishers

    def user(self, index: int) -> str:
        return f"{self.shape.user_prefix}{index}"

    # every process at once

    def ask_all(self, do: str, **request: object) -> list[Answer]:
        for process in self.processes:
            process.ask(do, **request)
        return [process.answer() for process in self.processes]

    def counters(self) -> Counters:
        """Sums over all processes."""
        return summed(self.ask_all("status"))

    def histograms(self) -> dict[str, Histogram]:
        merged: dict[str, Histogram] = {}
        for answer in self.ask_all("histograms"):
            for name, packed in answer.items():
                merged.setdefault(name, Histogram()).merge(base64.b64decode(packed))
        return merged

    # phases

    def connect(
        self, window: int = 64, timeout_s: float = 120.0, progress: Progress | None = None
    ) -> Counters:
        """Connect and log in everyone, `window` under way in the whole fleet; failed ones are tried three
        times.
        """
        total = self.total
        each = max(1, window // len(self.processes))
        seen: Counters = {}
        for _ in range(3):
            for process, share in zip(self.processes, self.shares, strict=True):
                process.ask("connect", to=share.count, window=each)
            for process in self.processes:
                process.answer()
            seen = self._wait("connecting", timeout_s, progress, lambda c: here(c) >= total)
            if here(seen) >= total:
                return seen
        raise FleetError(f"{here(seen)} of {total} clients logged in; the last code was {seen['close_code']}")

    def connect_in_waves(
        self,
        wave: int,
        settle: Callable[[int], None],
        window: int = 64,
        timeout_s: float = 120.0,
        progress: Progress | None = None,
    ) -> Counters:
        """Connect `wave` clients at a time, one process after the other, so that few of them want a core at
        once; `settle(n)` returns when the servers have digested n logins.
        """
        reached = [0] * len(self.shares)
        for upto in (*range(wave, self.total, wave), self.total):
            goals = [min(max(upto - share.first, 0), share.count) for share in self.shares]
            busy = [i for i, goal in enumerate(goals) if goal > reached[i]]
            for i in busy:
                self.processes[i].ask("connect", to=goals[i], window=max(1, window // len(busy)))
            for i in busy:
                self.processes[i].answer()
            self._wait("connecting", timeout_s, progress, partial(as_many_here, upto))
            settle(upto)
            reached = goals
        return self.connect(window, timeout_s, progress)

    def join(
        self, topic: str, window: int = 64, timeout_s: float = 120.0, progress: Progress | None = None
    ) -> None:
        """Let every member join; publishers too where the room asks for it (QW1) or deaf ones follow."""
        qw1 = self.shape.wire == "qw1"
        before = self.counters()["joined"]
        wanted = 0
        for process, share in zip(self.processes, self.shares, strict=True):
            to = share.count if qw1 or share.deaf else share.members
            wanted += to
            process.ask("join", topic=topic, to=to, window=max(1, window // len(self.processes)))
        for process in self.processes:
            process.answer()
        seen = self._wait("joining", timeout_s, progress, lambda c: c["joined"] - before >= wanted)
        if seen["joined"] - before < wanted:
            raise FleetError(
                f"{seen['joined'] - before} of {wanted} joined {topic}; code {seen['refusal_code']}"
            )

    def measure(
        self,
        load: Load,
        topic: str = "",
        progress: Progress | None = None,
        at_window: Callable[[bool], None] | None = None,
    ) -> Measured:
        """Send by schedule and count. `at_window(True)` is called when the window opens, (False) when it
        closes. Deaf members read again afterwards, and have read what waited when this returns.
        """
        before = self._settled()
        start = time.monotonic_ns() + int(LEAD_S * 1e9)
        begin = start + int(load.warm_up_s * 1e9)
        end = begin + int(load.seconds * 1e9)
        self.ask_all("window", begin=begin, end=end, nap_us=load.nap_us)
        if self.shape.deaf:
            self.ask_all("listen", listening=False)
        self._schedule(load, topic, start, end)
        first = self._at(begin, progress, at_window, True)
        last = self._at(end, progress, at_window, False)
        listeners = 1 if self.shape.pair else self.shape.members
        seen = self._wait("draining", load.drain_s, progress, lambda c: self._drained(c, before, listeners))
        self._clean = self._drained(seen, before, listeners)
        found = measured(load, before, seen, (first, last), listeners, self.histograms())
        if self.shape.deaf:
            self.ask_all("listen", listening=True)
            self._clean = False
            self._settled()
        return found

    def _schedule(self, load: Load, topic: str, start: int, end: int) -> None:
        for process, share in zip(self.processes, self.shares, strict=True):
            pair = self.shape.pair
            sending = share.members // 2 if pair else share.publishers
            if not sending or load.rate <= 0:
                continue
            interval = 1e9 * self.senders / (load.rate * sending)
            targets = (
                [USER_PREFIX + self.user(share.first + 2 * k + 1) for k in range(sending)]
                if pair
                else [topic]
            )
            process.ask(
                "schedule",
                first=0 if pair else share.members,
                step=2 if pair else 1,
                publisher=share.publisher,
                targets=targets,
                repeat=1 if pair else sending,
                interval_ns=interval,
                start=start + int(interval * share.first / max(1, self.total)),
                stop=end,
                hold_ns=int(load.hold_ms * 1e6),
            )
            process.answer()

    def _drained(self, now: Counters, before: Counters, listeners: int) -> bool:
        sent = now["sent"] - before["sent"]
        acked = now["acked"] + now["refused"] - before["acked"] - before["refused"]
        answered = self.shape.wire != "qw1" or self.shape.core or acked >= sent
        return now["sending"] == 0 and now["tracked"] - before["tracked"] >= sent * listeners and answered

    # waiting

    def _settled(self) -> Counters:
        """Counters once nothing of an earlier load arrives any more: none of it counts for the next."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        seen = self.counters()
        while not self._clean and time.monotonic() < deadline:
            time.sleep(SETTLE_S)
            before, seen = seen, self.counters()
            self._clean = seen["arrived"] == before["arrived"]
        return seen

    def _at(
        self, when_ns: int, progress: Progress | None, at_window: Callable[[bool], None] | None, opening: bool
    ) -> list[Answer]:
        """Sleep until `when_ns`, then take everyone's status."""
        while (left := when_ns - time.monotonic_ns()) > 0:
            time.sleep(min(left / 1e9, 1.0))
            if progress is not None and left > 1_000_000_000:
                progress("warming up" if opening else "measuring", self.counters())
        if at_window is not None:
            at_window(opening)
        return self.ask_all("status")

    def _wait(
        self, what: str, timeout_s: float, progress: Progress | None, done: Callable[[Counters], bool]
    ) -> Counters:
        """Until done, until nothing is under way any more, or until the time is over."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self.counters()
            if done(seen) or time.monotonic() > deadline or (what == "connecting" and not seen["busy"]):
                return seen
            if progress is not None:
                progress(what, seen)
            time.sleep(0.1 if len(self.processes) < MANY_PROCESSES else 0.5)

    # processes

    def _start(self) -> None:
        path = str(Path(self._folder.name) / "fleet")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen(len(self.shares))
            listener.settimeout(START_TIMEOUT_S)
            self._host = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.loadgen.fleet.worker",
                    "--socket",
                    path,
                    "--processes",
                    str(len(self.shares)),
                ],
                preexec_fn=ending_with_me(),
            )
            found: dict[int, Process] = {}
            while len(found) < len(self.shares):
                channel, _ = listener.accept()
                channel.settimeout(START_TIMEOUT_S)
                process = Process(channel)
                found[process.answer()["hello"]] = process
        self.processes = [found[i] for i in range(len(self.shares))]
        for index, (process, share) in enumerate(zip(self.processes, self.shares, strict=True)):
            swarm = self._swarm(index, share)
            process.ask("open", swarm=swarm, mint=self._mint(), user_prefix=self.shape.user_prefix)
        self.pids = [process.answer()["pid"] for process in self.processes]

    def _mint(self) -> dict[str, str] | None:
        mint = self.shape.mint
        if mint is None:
            return None
        return {"kid": mint.kid, "seed": mint.seed, "issuer": mint.issuer, "audience": mint.audience}

    def _swarm(self, index: int, share: Share) -> Request:
        shape = self.shape
        gateways = list(shape.gateways)
        if shape.own_gateway:
            gateways = [gateways[index % len(gateways)]]
        return {
            "wire": shape.wire,
            "gateways": gateways,
            "count": share.count,
            "deaf": share.deaf,
            "tracked": share.members,
            "first": share.first,
            "slots": 1 if shape.pair else max(1, shape.publishers),
            "pair": shape.pair,
            "text_size": shape.text_size,
            "suite": shape.suite,
            "key_id": shape.key_id,
            "server_key": shape.server_key.hex(),
            "ping_s": shape.ping_s,
            "run_id": self._run,
            "online_only": shape.online_only,
            "core": shape.core,
            "websocket": shape.websocket,
            "zstd": shape.zstd,
        }

    def close(self) -> None:
        for process in self.processes:
            process.channel.close()
        if self._host is not None:
            try:
                self._host.wait(CLOSE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._host.kill()
                self._host.wait()
        self._folder.cleanup()

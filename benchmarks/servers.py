"""The server under test: real `qianwan serve` processes in a folder of their own, and what /proc and
/metrics say.

One gateway: one process with all three roles. More: one `im,control` process, one `gateway` process that
forks the workers, and a NATS server between them, all on loopback. One file, longer than others: what is
started, asked and ended is one object to every scenario.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.loadgen.fleet import CLIENTS_PER_PROCESS
from benchmarks.loadgen.fleet.tokens import TokenMint
from benchmarks.machine import ROOT, Busy, children, cpu_seconds, resident_bytes, rss_bytes
from benchmarks.ports import row_of_ports
from control.metrics import LONGEST_TURN
from control.process.parent import ending_with_me

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
CALM_S = 2.0
CALM_SHARE = 0.1  # of a core
LOG_LINES = 6  # of a server that did not start
SAMPLE_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{[^}]*\})? (\S+)", re.MULTILINE)


class ServerError(RuntimeError):
    """A server did not start or answer; the text carries the end of its log."""


@dataclass(frozen=True, slots=True)
class ServerPlan:
    """How many gateways and with which settings. `core`, `service` and `admission` are settings by the
    names of the sections [gateway.core], [im.service] and [gateway.admission].
    """

    gateways: int = 1
    split: bool = False  # the gateway is a process of its own even when there is only one
    loops: int = 0
    ping_interval_s: int = 240
    host: str = "127.0.0.1"  # where clients find the gateways
    gateway: dict[str, object] = field(default_factory=dict)  # more of the section [gateway]
    core: dict[str, Any] = field(default_factory=dict)
    service: dict[str, Any] = field(default_factory=dict)
    admission: dict[str, object] = field(default_factory=dict)


def gateways_for(connections: int) -> int:
    """Processes needed under the limit of open files."""
    return max(1, -(-connections // CLIENTS_PER_PROCESS))


@dataclass(slots=True)
class Process:
    """One server process and where it (or its workers) listen; nowhere without the gateway role."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    http: str
    listen: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters at one moment; two samples make a report.

    Asking many processes takes a while and some of their CPU time: `at` and `cpu_s` are from before it,
    `done_at` and `done_cpu_s` from after it.
    """

    at: float
    cpu_s: float
    rss: int
    gateway_rss: int
    busy: Busy
    metrics: dict[str, float]
    done_at: float
    done_cpu_s: float
    processes: int = 1


def parse_metrics(text: str) -> dict[str, float]:
    """Name with labels -> value, of the Prometheus text format."""
    return {match[1] + (match[2] or ""): float(match[3]) for match in SAMPLE_LINE.finditer(text)}


def toml(tree: dict[str, dict[str, Any]]) -> str:
    """A TOML document of these sections; values are scalars, lists of scalars, or maps of scalars."""
    lines = []
    for section, values in tree.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)  # JSON's notation of scalars and lists is TOML's


class Servers:
    """Starts in `__enter__`, stops in `__exit__`; nothing of it stays on the disk."""

    def __init__(self, plan: ServerPlan) -> None:
        self.plan = plan
        self.folder = Path(tempfile.mkdtemp(prefix="qianwan-bench-server-"))
        self.api_key = f"qwk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
        self.processes: list[Process] = []
        self._others: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # what a fleet needs

    @property
    def gateways(self) -> list[tuple[str, int]]:
        return [address for process in self.processes for address in process.listen]

    def server_key(self) -> tuple[int, bytes]:
        """(key id, X25519 public key) from the data folder."""
        from control.keys.server_keys import ServerKeys

        key = ServerKeys.load(self.folder / "data" / "keys").current(int(time.time()))
        return key.key_id, key.public

    def mint(self) -> TokenMint:
        """Signs logins with the server's own token key."""
        from control.keys.server_keys import ServerKeys
        from control.settings import Settings

        key = ServerKeys.load(self.folder / "data" / "keys").current_token(int(time.time()))
        auth = Settings().auth
        return TokenMint(key.kid, key.seed.hex(), auth.issuer, auth.audience)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request of the HTTP API of the control process. Raises ServerError with its answer."""
        request = urllib.request.Request(
            f"http://{self.processes[0].http}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise ServerError(
                f"{method} {path}: {error.code} {error.read().decode(errors='replace')}"
            ) from None
        result: dict[str, Any] = json.loads(text) if text else {}
        return result

    # measuring

    def sample(self, *, memory: bool = True) -> Sample:
        """Without `memory` the pages of the processes are not counted (its figures are 0), which takes some
        milliseconds of a core for each of them: not where a window opens.
        """
        trees = self._trees()
        pids = [pid for tree in trees.values() for pid in tree] + [other.pid for other in self._others]
        gateways = self.gateway_pids()
        at, cpu_s = time.monotonic(), sum(map(cpu_seconds, pids))
        metrics = self.metrics()
        return Sample(
            at=at,
            cpu_s=cpu_s,
            rss=sum(resident_bytes(tree) for tree in trees.values()) if memory else 0,
            gateway_rss=sum(rss_bytes(pid) for pid in gateways) if memory else 0,
            busy=Busy.now(),
            metrics=metrics,
            done_at=time.monotonic(),
            done_cpu_s=sum(map(cpu_seconds, pids)),
            processes=sum(len(tree) for tree in trees.values()),
        )

    def _trees(self) -> dict[str, list[int]]:
        return {process.name: [process.popen.pid, *children(process.popen.pid)] for process in self.processes}

    def gateway_pids(self) -> list[int]:
        trees = self._trees()
        return [pid for process in self.processes if process.listen for pid in trees[process.name]]

    def metrics(self) -> dict[str, float]:
        """Sums over the processes; of the longest turn the longest."""
        summed: dict[str, float] = {}
        for process in self.processes:
            for name, value in self._metrics(process).items():
                before = summed.get(name, 0.0)
                summed[name] = max(before, value) if name == LONGEST_TURN else before + value
        return summed

    def await_sessions(self, count: int) -> None:
        """Return when the im process knows `count` sessions. Raises ServerError when it stops before."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        known = 0.0
        while time.monotonic() < deadline:
            before, known = known, self._metrics(self.processes[0]).get("qianwan_im_sessions", 0.0)
            if known >= count:
                return
            if known > before:
                deadline = time.monotonic() + READY_TIMEOUT_S
            time.sleep(1.0)  # the scrape itself costs the im process milliseconds
        raise ServerError(f"the im process knows {known:.0f} of {count} sessions")

    def await_calm(self) -> None:
        """Return when the im process has worked off what logins left to do (at the latest after a minute)."""
        pid = self.processes[0].popen.pid
        for _ in range(int(READY_TIMEOUT_S / CALM_S)):
            before = cpu_seconds(pid)
            time.sleep(CALM_S)
            if cpu_seconds(pid) - before < CALM_SHARE * CALM_S:
                return

    def _metrics(self, process: Process) -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://{process.http}/metrics", timeout=30) as answer:
                return parse_metrics(answer.read().decode())
        except OSError:
            return {}

    # processes

    def _start(self) -> None:
        bus = None
        if self.plan.gateways > 1 or self.plan.split:
            port = row_of_ports(1)
            bus = f"nats://127.0.0.1:{port}"
            self._others.append(self._run_nats(port))
        config = self.folder / "qianwan.toml"
        config.write_text(toml(self._settings()))
        if bus is None:
            self.processes.append(self._serve("all", config, "gateway,im,control", 1, bus, 1))
            self._await(self.processes[0])
            return
        for node, (name, roles, listeners) in enumerate(
            (("im", "im,control", 0), ("gateways", "gateway", self.plan.gateways)), 1
        ):
            self.processes.append(self._serve(name, config, roles, node, bus, listeners))
            self._await(self.processes[-1])

    def _settings(self) -> dict[str, dict[str, Any]]:
        plan = self.plan
        return {
            "server": {"data_dir": str(self.folder / "data"), "drain_timeout_s": 1.0, "drain_spread_s": 0.0},
            "gateway": {"loops": plan.loops, "ping_interval_s": plan.ping_interval_s, **plan.gateway},
            "gateway.admission": plan.admission,
            "gateway.core": plan.core,
            "im.service": plan.service,
            # Many processes on few cores wait long for their turn, and none of them is dead for that.
            "bus": {"beacon_s": 5.0, "dead_after_s": 60.0},
            "auth": {"bootstrap_api_key": self.api_key},
            "log": {"level": "warning", "format": "json"},
        }

    def _serve(
        self, name: str, config: Path, roles: str, node: int, bus: str | None, listeners: int
    ) -> Process:
        http = f"127.0.0.1:{row_of_ports(1)}"
        first = row_of_ports(max(1, listeners))
        listen = tuple((self.plan.host, first + i) for i in range(listeners))
        log = self.folder / f"{name}.log"
        words = [
            sys.executable,
            "-m",
            "program",
            "serve",
            "--config",
            str(config),
            "--role",
            roles,
            "--http",
            http,
            "--admin",
            "",
            "--listen",
            f"{self.plan.host}:{first}",
            "--node-id",
            str(node),
        ]
        if bus is not None:
            words += ["--bus", bus]
        if listeners > 1:
            words += ["--processes", str(listeners)]
        return Process(name, _run(words, log), log, http, listen)

    def kill_and_start(self, away_s: float) -> None:
        """The first process dies without a word and is back, as it was, after so long and its start."""
        process = self.processes[0]
        process.popen.kill()
        process.popen.wait()
        time.sleep(away_s)
        assert isinstance(process.popen.args, list)
        process.popen = _run([str(word) for word in process.popen.args], process.log)
        self._await(process)

    def _run_nats(self, port: int) -> subprocess.Popen[bytes]:
        binary = shutil.which("nats-server") or str(Path(sys.executable).with_name("nats-server"))
        config = self.folder / "nats.conf"
        # With its 10 s the server cuts off an im process that a full machine lets wait for its turn.
        config.write_text('write_deadline: "60s"\n')
        words = [binary, "-c", str(config), "-a", "127.0.0.1", "-p", str(port)]
        with (self.folder / "nats.log").open("wb") as out:
            popen = subprocess.Popen(words, stdout=out, stderr=out, preexec_fn=ending_with_me())
        _await_port(port, popen)
        return popen

    def _await(self, process: Process) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.popen.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://{process.http}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.05)
        end = process.log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:]
        raise ServerError("\n".join([f"{process.name} is not ready", *end]))

    def stop(self) -> None:
        everyone = [process.popen for process in reversed(self.processes)] + self._others
        for popen in everyone:
            if popen.poll() is None:
                popen.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for popen in everyone:
            try:
                popen.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _run(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, preexec_fn=ending_with_me()
        )


def _await_port(port: int, popen: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and popen.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise ServerError(f"nothing listens on port {port}")

"""Real `qianwan serve` processes for tests: free ports, a temporary data folder, kill -9, restart, logs on
failure.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.ports import row_of_ports

START_TIMEOUT_S = 60.0  # of an instrumented build beside three others, too
STOP_TIMEOUT_S = 30.0
POLL_S = 0.02
ROOT = Path(__file__).resolve().parents[2]
CRASHES = {
    -number for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
}


class ServerFailed(AssertionError):
    """The server did not do what the test waited for; the message holds the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports that are free now and given to nobody else."""
    return [row_of_ports(1) for _ in range(count)]


def program(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`qianwan` with these words, to its end. Its output is no terminal."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("QIANWAN_")}
    return subprocess.run(
        [sys.executable, "-m", "program", *words],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@dataclass
class ServerProcess:
    """One server. Use as a context manager, or `start` and `stop`.

    `settings` are dotted keys ("gateway.loops": 1) given through the environment. `roles` is the --role text.
    `admin` is where it has its admin API, "127.0.0.1:0" for a port of the kernel's choice; most have none.
    `wrapper` comes before the command and must end by exec, so that the process stays the server.
    `installed` is the bin folder of an installed program, which then sees neither this tree nor another PATH.
    """

    data_dir: Path
    settings: dict[str, Any] = field(default_factory=dict)
    roles: str = ""
    http_port: int = 0
    gateway_port: int = 0
    admin: str = ""
    arguments: tuple[str, ...] = ()
    wrapper: tuple[str, ...] = ()
    installed: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not self.http_port or not self.gateway_port:
            self.http_port, self.gateway_port = free_ports(2)
        self.data_dir.mkdir(parents=True, exist_ok=True)

    def environment(self) -> dict[str, str]:
        """Of its program: its settings, and no others."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("QIANWAN_")}
        environment |= {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        if self.installed:
            environment |= {"PYTHONPATH": "", "PATH": str(self.installed)}
        for key, value in self.settings.items():
            name = "QIANWAN_" + key.replace(".", "__").upper()
            environment[name] = value if isinstance(value, str) else json.dumps(value)
        return environment

    # -- addresses and files

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def admin_url(self) -> str:
        """Of a server whose `admin` is an address."""
        return f"http://{self.logged('started')['admin']}/v1/admin"

    @property
    def gateway(self) -> tuple[str, int]:
        return "127.0.0.1", self.gateway_port

    @property
    def log_file(self) -> Path:
        return self.data_dir / f"server-{self.http_port}.log"

    @property
    def out_file(self) -> Path:
        return self.data_dir / f"server-{self.http_port}.out"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise ServerFailed("the server is not running")
        return self.process.pid

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def logged(self, event: str) -> dict[str, Any]:
        """The last line of the log with this event; it is waited for (a process answers before it logs)."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            lines = (json.loads(line) for line in self.log().splitlines() if f'"{event}"' in line)
            found.extend(line for line in lines if line["event"] == event)
            return bool(found)

        self.wait_for(there, f"logged: {event}")
        return found[-1]

    def _seen_by_it(self, path: Path) -> Path:
        """A path as the server sees it: it may have mounts of its own."""
        if self.process is None or not self.wrapper:
            return path
        return Path(f"/proc/{self.process.pid}/root") / path.relative_to("/")

    def first_api_key(self) -> str:
        """The API key that the first start made."""
        try:
            return self._seen_by_it(self.data_dir / "first-api-key").read_text().strip()
        except OSError as error:
            raise ServerFailed(f"no API key: {error}") from None

    # -- life

    def start(self, wait: bool = True) -> ServerProcess:
        qianwan = [str(self.installed / "qianwan")] if self.installed else [sys.executable, "-m", "program"]
        command = [*self.wrapper, *qianwan, "serve", "--data-dir", str(self.data_dir)]
        command += ["--http", f"127.0.0.1:{self.http_port}", "--listen", f"127.0.0.1:{self.gateway_port}"]
        command += ["--admin", self.admin]
        if self.roles:
            command += ["--role", self.roles]
        command += self.arguments
        environment = self.environment()
        with self.log_file.open("ab") as log, self.out_file.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                cwd=self.data_dir if self.installed else ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                if self.process is not None and self.process.poll() is None:
                    self.kill()  # nobody else would
                raise
        return self

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when /readyz answers 200; raise ServerFailed with the log when it does not in time.
        A control process alone is waited for until it has started: it is ready when an im process lives.
        """
        path = "/startupz" if self.roles == "control" else "/readyz"
        self.wait_for(lambda: self.get(path)[0] == 200, "ready", timeout_s)

    def wait_for(self, condition: Any, what: str, timeout_s: float = START_TIMEOUT_S) -> None:
        """Poll a condition of the running server until it holds."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                raise ServerFailed(f"the server left with {self.process.returncode}:\n{self.tail()}")
            if condition():
                return
            time.sleep(POLL_S)
        raise ServerFailed(f"not {what} within {timeout_s} s:\n{self.tail()}")

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Send a signal and wait for the end. Returns the exit code; ServerFailed when it was a crash."""
        process = self.process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerFailed(f"did not stop within {timeout_s} s:\n{self.tail()}") from None
        finally:
            self.process = None
        self._no_crash(code)
        return code

    def kill(self) -> None:
        """kill -9: nothing of the process gets a chance to tidy up."""
        if self.process is not None:
            self.process.kill()
            code = self.process.wait()
            self.process = None
            self._no_crash(code)

    def _no_crash(self, code: int) -> None:
        if code in CRASHES:
            raise ServerFailed(f"the server crashed with {signal.Signals(-code).name}:\n{self.tail()}")

    def restart(self) -> None:
        """Start again on the same data and ports; after `kill` this is a crash and a recovery."""
        self.stop()
        self.start()

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log().splitlines()[-lines:])

    # -- HTTP

    def get(self, path: str) -> tuple[int, bytes]:
        """(status, body) of a GET; status 0 when nobody listens yet."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def post(self, path: str, body: Any, api_key: str | None = None) -> tuple[int, Any]:
        """(status, decoded JSON) of a POST with the first API key, or another one."""
        headers = {"Content-Type": "application/json", "X-API-Key": api_key or self.first_api_key()}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def token(self, user: str, device: str | None = None, **extra: Any) -> str:
        """A token for a user, through the HTTP API."""
        wanted = {"user": user, **extra} | ({"device": device} if device else {})
        status, answer = self.post("/v1/tokens", wanted)
        if status != 201:
            raise ServerFailed(f"POST /v1/tokens answered {status}: {answer}")
        return str(answer["token"])

    def room(self, name: str, **fields: Any) -> str:
        """Make a chatroom, as the application's server does. -> its id"""
        status, answer = self.post("/v1/rooms", {"room": name, **fields})
        if status not in (200, 201):
            raise ServerFailed(f"POST /v1/rooms answered {status}: {answer}")
        return name

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name with labels, as Prometheus writes it."""
        found: dict[str, float] = {}
        for line in self.get("/metrics")[1].decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def __enter__(self) -> ServerProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            sys.stderr.write(f"--- log of the server on {self.url}\n{self.tail(100)}\n")
        self.stop()


def doctor(server: ServerProcess) -> dict[str, tuple[str, str]]:
    """check -> (level, found), with the settings of this server."""
    variables = {
        f"QIANWAN_{key.replace('.', '__').upper()}": str(value) for key, value in server.settings.items()
    }
    variables["QIANWAN_SERVER__ROLES"] = json.dumps([server.roles])
    variables["QIANWAN_CONTROL__HTTP"] = f"127.0.0.1:{server.http_port}"
    variables["QIANWAN_CONTROL__ADMIN"] = server.admin
    variables["QIANWAN_GATEWAY__LISTEN"] = f"127.0.0.1:{server.gateway_port}"
    shown = program("doctor", "--data-dir", str(server.data_dir), "--json", **variables)
    return {item["check"]: (item["level"], item["found"]) for item in json.loads(shown.stdout)}

"""What all other systems on the wire have in common: TLS 1.3 with a short certificate, a server process, and
a client that comes back as ours does (at once when the system says so, else after a random part of half a
second that doubles).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from abc import abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from benchmarks.machine import ROOT
from benchmarks.ports import row_of_ports
from benchmarks.servers import ServerError
from benchmarks.weaknet.namespaces import do
from benchmarks.weaknet.system import Person, System, Watch
from control.process.parent import ending_with_me

START_S = 30.0
OPEN_S = 120.0
BACKOFF_S, BACKOFF_CAP_S = 0.5, 60.0
CONNECT_S = 20.0


def client_tls() -> ssl.SSLContext:
    """Believes any certificate: checking one costs neither bytes nor round trips."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Rival(System):
    """A server process on a port of its own."""

    keeps: ClassVar[bool] = False

    @abstractmethod
    def command(self) -> list[str]:
        """The words that start it on all addresses of `port`; may write into `folder`."""

    def __enter__(self) -> Self:
        self._port = row_of_ports(1)
        self.folder = Path(tempfile.mkdtemp(prefix="qianwan-rival-"))
        self.certificate, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        do(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=q "
            f"-keyout {self.key} -out {self.certificate}"
        )
        self.key.chmod(0o644)  # mosquitto leaves root
        self.folder.chmod(0o777)
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=ROOT, stdout=log, stderr=log, preexec_fn=ending_with_me()
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            time.sleep(0.05)
        raise ServerError(f"{self.name} did not start: {(self.folder / 'log').read_text()[-500:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process: subprocess.Popen[bytes] | None = getattr(self, "_process", None)
        if process is not None:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def port(self) -> int:
        return self._port

    def kill_and_start(self, away_s: float) -> None:
        self._process.kill()
        self._process.wait()
        time.sleep(away_s)
        self._start()


class Comer(Person):
    """Keeps one connection. Subclasses say what is spoken on it."""

    def __init__(self, user: str, host: str, port: int, watch: Watch, interval_s: float) -> None:
        super().__init__(user, watch)
        self.host, self.port, self._interval_s = host, port, interval_s
        self.tls = client_tls()
        self._hurry = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._life: asyncio.Task[None] | None = None

    @abstractmethod
    async def live(self) -> None:
        """One connection: open it, say `self.watch.state(True)`, speak until it ends."""

    @property
    def interval_s(self) -> float:
        return self._interval_s

    async def open(self) -> None:
        online = asyncio.Event()

        def tell(_: bool) -> None:
            online.set()

        self.watch.changed.append(tell)
        self._work = asyncio.ensure_future(self._run())
        async with asyncio.timeout(OPEN_S):
            await online.wait()
        self.watch.changed.remove(tell)

    async def close(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def network_changed(self) -> None:
        self._hurry.set()
        if self._life is not None:
            self._life.cancel()

    async def _run(self) -> None:
        failures = 0
        while True:
            logins = self.watch.logins
            self._hurry.clear()
            self._life = asyncio.ensure_future(self.live())
            try:
                await asyncio.wait([self._life])
                if not self._life.cancelled():
                    self._life.exception()
            finally:
                self._life.cancel()
                self.watch.state(False)
            failures = 0 if self.watch.logins > logins else failures + 1
            pause = random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_S * 2**failures))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._hurry.wait()

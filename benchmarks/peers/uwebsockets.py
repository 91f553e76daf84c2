"""uWebSockets: WebSocket server in C++ with publish/subscribe, one thread (PyPI package `socketify`)."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import ClassVar

from benchmarks.machine import ROOT
from benchmarks.peers.base import Peer


class UWebSockets(Peer):
    """The application is `uwebsockets_app.py`: one call of publish() per message, the rest is uWebSockets."""

    wire: ClassVar[str] = "websocket"

    @classmethod
    def missing(cls) -> str | None:
        return None if find_spec("socketify") else "uWebSockets is not installed (pip install socketify)"

    @classmethod
    def version(cls) -> str:
        try:
            return f"socketify {version('socketify')}"
        except PackageNotFoundError:
            return ""

    def command(self) -> list[str]:
        return [sys.executable, str(ROOT / "benchmarks" / "peers" / "uwebsockets_app.py"), str(self.port)]

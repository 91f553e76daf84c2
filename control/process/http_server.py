"""The HTTP server inside the process's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

BACKLOG = 1024
GRACE_S = 3


class _Server(uvicorn.Server):
    """Signals belong to the process, which drains the gateway before it lets HTTP go."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Serves `app` on `host:port` until `stop`. `start` raises OSError when the address cannot be had."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._address = (host, port)
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        listener = _listen(*self._address)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")

    async def stop(self) -> None:
        if self._task is not None:
            self._server.should_exit = True
            await self._task
            self._task = None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"HTTP port {host}:{port}: {error.strerror}") from None
    return listener

"""The HTTP server inside the process's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from control.process.http_protocol import Bounds, bounded
from control.settings.values import join_address

BACKLOG = 128
"""Connections accepted in one turn at most, before the bounds see them: part of what the process keeps."""
GRACE_S = 3
CANCELLED_S = 0.5
"""For those that this was too short for: they are told that the process ends."""


class _Server(uvicorn.Server):
    """Signals belong to the process, which drains the gateway before it lets HTTP go."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """Serves `app` on `host:port` until `stop`. With `proxied` false the peer is who it is, whatever a header
    says of whom it speaks for. `start` raises OSError when the address cannot be had."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, bounds: Bounds, *, proxied: bool = True, name: str = "HTTP"
    ) -> None:
        self._address = (host, port)
        self._name = name
        self._bounds = bounds
        config = uvicorn.Config(
            app,
            http=bounded(bounds),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            proxy_headers=proxied,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """host:port as bound, once it has started: port 0 is the kernel's choice."""
        return join_address(*self._address)

    async def start(self) -> None:
        listener = bound(*self._address, self._name)
        self._address = listener.getsockname()[:2]
        listener.listen(BACKLOG)
        listener.setblocking(False)
        # Who does not read their answer is ended by the kernel (sockets inherit it): even probes of a closed
        # window count, since Linux 5.11.
        ms = int(self._bounds.request_s * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, ms)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")

    async def stop(self, *, at_once: bool = False) -> None:
        """Answer what was asked, for a few seconds, or let it be."""
        if self._task is not None:
            self._server.force_exit = at_once
            self._server.should_exit = True
            await self._task
            self._task = None
            if tasks := self._server.server_state.tasks:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(set(tasks), timeout=CANCELLED_S)
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()


def bound(host: str, port: int, name: str = "HTTP") -> socket.socket:
    """A socket bound to the port, not listening. Raises OSError that names the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"{name} port {host}:{port}: {error.strerror}") from None
    return listener

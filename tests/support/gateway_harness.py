"""A running Gateway with a pump thread that logs everybody in whose token is a name."""

from __future__ import annotations

import select
import threading
import time
from typing import Any

from crypto.handshake import generate_keypair
from gateway_core import EV_AUTH, EV_CLOSED, EV_TICKET, Gateway, GatewayConfig
from tests.support.gateway_client import WireClient, wait_for

REFUSED = "refuse"  # this token is refused with 4001
IGNORED = "ignore"  # this one gets no answer


class GatewayHarness:
    """start, pump, clients, and the promise that nothing stays alive."""

    running = 0

    def __init__(self, *, tickets: bool = False, node: int = 1, **settings: Any) -> None:
        settings.setdefault("max_connections", 65536)
        settings.setdefault("ip_accepts_per_s", 0)
        settings.setdefault("ephemerals", 8)
        self.private, self.public = generate_keypair()
        self.gateway = Gateway(GatewayConfig(port=0, **settings), [(1, self.private, self.public)], b"KEYSET")
        self.events: list[tuple[Any, ...]] = []
        self.conns: dict[tuple[str, str], int] = {}
        self.sessions = 0
        self.paused = threading.Event()
        self.clients: list[WireClient] = []
        self.ticket_keys = [(7, b"k" * 32)] if tickets else []
        self.node = node
        self.until = 0
        self._stop = threading.Event()
        self._pump = threading.Thread(target=self._run, daemon=True)

    def start(self) -> GatewayHarness:
        self.gateway.start()
        if self.ticket_keys:
            self.gateway.set_ticket_keys(self.ticket_keys, self.node)
            self.until = int(time.time()) + 3600
        self._pump.start()
        GatewayHarness.running += 1
        return self

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.paused.is_set():
                self._stop.wait(0.005)
                continue
            ready, _, _ = select.select([self.gateway.fileno()], [], [], 0.05)
            if ready:
                self._take()

    def _take(self) -> int:
        batch = self.gateway.take_events()
        for event in batch:
            self.events.append(event)  # before its answer, which a test may wait for
            if event[0] == EV_AUTH:
                self._login(event)
            elif event[0] == EV_TICKET:
                self._ticket_login(event)
        return len(batch)

    def _login(self, event: tuple[Any, ...]) -> None:
        conn, token, device, platform = event[1], event[5], event[7], event[8]
        if token == REFUSED:
            self.gateway.refuse(conn, 4001, "no")
        elif token != IGNORED:
            self.sessions += 1
            self.conns[token, device] = conn
            until = 0 if event[11] else self.until
            self.gateway.login(conn, token, device, platform, self.sessions, b"welcome", until=until, rev=5)

    def _ticket_login(self, event: tuple[Any, ...]) -> None:
        _, conn, _, user, device, platform, rev, until, *_ = event
        self.sessions += 1
        self.conns[user, device] = conn
        self.gateway.login(conn, user, device, platform, self.sessions, b"again", until=until, rev=rev)

    def connect(self, **options: Any) -> WireClient:
        client = WireClient(self.gateway.port, self.public, **options)
        self.clients.append(client)
        return client

    def login(self, user: str, device: str = "d1", **options: Any) -> WireClient:
        client = self.connect(**options).handshake()
        assert client.auth(user, device) == b"welcome"
        return client

    def conn(self, user: str, device: str = "d1") -> int:
        return self.conns[user, device]

    def of_kind(self, kind: int) -> list[tuple[Any, ...]]:
        """What the pump has taken so far: what a client was shown may come out of the ring later."""
        return [event for event in list(self.events) if event[0] == kind]

    def closed_codes(self, user: str) -> list[int]:
        return [event[4] for event in self.of_kind(EV_CLOSED) if event[2] == user]

    def stats(self) -> dict[str, Any]:
        return self.gateway.stats()

    def wait_sessions(self, n: int) -> None:
        wait_for(lambda: self.stats()["live"]["sessions"] == n, what=f"{n} sessions")

    def joined(self, topic_members: int) -> None:
        wait_for(
            lambda: self.stats()["live"]["memberships"] == topic_members, what=f"{topic_members} memberships"
        )

    def reasons(self) -> dict[str, int]:
        found = self.stats()["closed_by_reason"]
        assert isinstance(found, dict)
        return found

    def stop(self) -> None:
        """Closes every client, waits for the sessions to end, stops, and checks that nothing is left."""
        self.paused.clear()
        for client in self.clients:
            client.close()
        wait_for(self._gone, 15, "all connections closed")
        self._stop.set()
        self._pump.join()
        self.gateway.stop()
        while self._take_after():
            pass
        GatewayHarness.running -= 1
        left = {name: count for name, count in self.stats()["live"].items() if count}
        if GatewayHarness.running:  # buffers are counted in the process
            left.pop("shared_bufs", None)
        assert not left, f"alive after everything was closed: {left}"

    def _gone(self) -> bool:
        live = self.stats()["live"]
        if live["parked"]:
            self.gateway.end_parked(1000)
        return bool(live["connections"] == 0)

    def _take_after(self) -> int:
        batch = self.gateway.take_events()
        self.events.extend(batch)
        return len(batch)

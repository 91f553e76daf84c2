"""Few descriptors: idle sockets take all of them from nobody, on neither port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import qianwan

from tests.support.server_process import ServerFailed, ServerProcess

LIMIT = 480


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that may have LIMIT open files: about a hundred clients, and as many HTTP connections."""
    wrapper = ("sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh")
    with ServerProcess(
        tmp_path / "data", {"gateway.core": {"auth_timeout_s": 60}}, wrapper=wrapper
    ) as server:
        yield server


async def test_idle_sockets_on_both_ports_leave_health_tokens_and_logins(small: ServerProcess) -> None:
    with contextlib.ExitStack() as held:
        for port in (small.gateway_port, small.http_port):
            for _ in range(LIMIT):
                held.enter_context(socket.create_connection(("127.0.0.1", port)))
        for _ in range(5):
            assert small.get("/livez")[0] == 200
            assert small.get("/readyz")[0] == 200
        token = small.token("alice")
        assert small.metrics()['qianwan_gateway_closed_total{reason="made_room"}'] > 0
        assert small.metrics()["qianwan_gateway_accept_pauses_total"] == 0, "descriptors never ran out"
        # Who does not log in gives way long before gateway.core.auth_timeout_s.
        async with asyncio.timeout(10), qianwan.Client(small.url, token=token, device_id="d") as alice:
            assert (await alice.send("bob", "hello")).seq == 1
    assert "Too many open files" not in small.log()


def test_requests_sent_many_at_once_shut_the_port_to_nobody(small: ServerProcess) -> None:
    """Without any key: a hundred requests behind one another on more connections than the port has."""
    flood = b"GET /v1/events HTTP/1.1\r\nHost: h\r\n\r\n" * 100
    with contextlib.ExitStack() as held:
        begun = []
        for _ in range(LIMIT // 3):
            begun.append(held.enter_context(socket.create_connection(("127.0.0.1", small.http_port))))
            with contextlib.suppress(ConnectionError):
                begun[-1].sendall(flood)
        for peer in begun:  # each was answered, or found the port full
            peer.settimeout(30)
            with contextlib.suppress(ConnectionError):
                assert peer.recv(12) in (b"HTTP/1.1 401", b"HTTP/1.1 429", b"")
        assert [small.get("/livez")[0] for _ in range(20)] == [200] * 20


def test_too_few_descriptors_for_any_client_end_the_start_with_the_reason(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", wrapper=("sh", "-c", 'ulimit -n 200; exec "$@"', "sh"))
    with pytest.raises(ServerFailed, match="left with 3"):
        server.start()
    assert "200 open files leave none for clients: raise LimitNOFILE" in server.log()

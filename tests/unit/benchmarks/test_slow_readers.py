"""What slow readers cost is looked for in the right sockets, and the figure says the largest seen."""

from __future__ import annotations

import socket

from benchmarks.record import ROWS
from benchmarks.scenarios.slow_readers import (
    SOCKETS,
    WRITE_BYTES,
    SlowReaders,
    limit_bytes,
    send_queues,
)
from benchmarks.table import rows
from gateway_core import GatewayConfig
from tests.support.bench_figures import made_figure

SEEN = {
    "count": 2, "closed": 1, "dropped": 7, "queued_bytes_max": 600, "kernel_bytes_max": 90,
    "bytes_per_reader_max": 345, "limit_bytes": 1_000,
}  # fmt: skip


def test_the_largest_moment_counts_and_the_fullest_sockets() -> None:
    slow = SlowReaders(count=2, limit_bytes=1_000)
    slow.see(100, [0, 40, 50, 3])
    slow.see(600, [10, 0, 80])
    slow.see(0, [])
    slow.closed, slow.dropped = 1, 7
    assert slow.as_json() == SEEN


def test_unread_bytes_are_found_by_the_port_they_were_sent_from() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            server.setblocking(False)
            sent = 0
            while sent < 200_000:
                sent += server.send(bytes(50_000))
            port = listener.getsockname()[1]
            found = send_queues(SOCKETS.read_text(), {port})
            assert len(found) == 2, "the listener and the connection"
            assert 150_000 < max(found) <= sent
            assert send_queues(SOCKETS.read_text(), set()) == []


def test_the_limit_is_what_the_settings_allow_a_reader_of_events() -> None:
    usual = GatewayConfig()
    assert limit_bytes({}) == usual.queue_event_bytes + usual.unsent_bytes + WRITE_BYTES
    core = {"queue_event_bytes": 5_000, "unsent_bytes": 6_000, "flush_messages": 1}
    assert limit_bytes(core) == 11_000 + WRITE_BYTES


def test_table_and_readme_tell_what_they_cost() -> None:
    item = made_figure(slow_readers=SEEN)
    told = dict(rows(item))["slow readers"]
    assert "345 of 1,000 B" in told
    assert "7 events dropped, 1 closed" in told
    slow = {**SEEN, "bytes_per_reader_max": 390_123, "limit_bytes": 393_216}
    line = ROWS["slow-readers"].value(made_figure(slow_readers=slow))
    assert line.endswith("at most 390 of 393 kB wait for a slow one, 1 closed")
    assert "slow readers" not in dict(rows(made_figure()))

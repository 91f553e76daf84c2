"""What members who stopped reading cost the servers while a load runs: what waits for them in the gateways'
queues and in the kernel, looked at once a second, beside the limit of each.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from typing import Any

from benchmarks.servers import Servers
from gateway_core import GatewayConfig

WRITE_BYTES = 65_536  # one write at most: what of it the socket did not take waits sealed, beside the queue
LOOK_S = 1.0  # /proc/net/tcp with 10,000 sockets takes 20 ms, a scrape some milliseconds of the server
SOCKETS = Path("/proc/net/tcp")
QUEUED = "qianwan_gateway_queued_bytes"
CLOSED = ("qianwan_gateway_slow_consumer_total",)
DROPPED = ("qianwan_gateway_dropped_normal_total", "qianwan_gateway_dropped_high_total")


@dataclass(slots=True)
class SlowReaders:
    """The largest of what was seen; sums over all of them, except for what says `per reader`."""

    count: int
    limit_bytes: int  # per reader
    queued_bytes: int = 0
    kernel_bytes: int = 0
    bytes_per_reader: int = 0
    closed: int = 0
    dropped: int = 0

    def see(self, queued: int, unread: Iterable[int]) -> None:
        """`unread`: bytes that wait in each socket of the gateways. The fullest count, as many as there are
        slow readers: that is no less than what waits for these.
        """
        kernel = sum(nlargest(self.count, unread))
        self.queued_bytes = max(self.queued_bytes, queued)
        self.kernel_bytes = max(self.kernel_bytes, kernel)
        self.bytes_per_reader = max(self.bytes_per_reader, (queued + kernel) // self.count)

    def as_json(self) -> dict[str, object]:
        return {
            "count": self.count,
            "closed": self.closed,
            "dropped": self.dropped,
            "queued_bytes_max": self.queued_bytes,
            "kernel_bytes_max": self.kernel_bytes,
            "bytes_per_reader_max": self.bytes_per_reader,
            "limit_bytes": self.limit_bytes,
        }


def limit_bytes(core: Mapping[str, Any]) -> int:
    """What one may leave unread under these settings of [gateway.core]: messages of a room are EVENTs."""
    config = GatewayConfig(**core)
    return config.queue_event_bytes + WRITE_BYTES + config.unsent_bytes


def send_queues(table: str, ports: Collection[int]) -> list[int]:
    """Bytes not yet acknowledged of the sockets on these local ports, from the text of /proc/net/tcp."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) in ports:
            found.append(int(fields[4].partition(":")[0], 16))
    return found


@contextmanager
def watched(servers: Servers, count: int) -> Iterator[SlowReaders]:
    """Looks until the block ends; then closed and dropped are known too."""
    seen = SlowReaders(count, limit_bytes(servers.plan.core))
    ports = {port for _, port in servers.gateways}
    before = servers.metrics()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            queued = int(servers.metrics().get(QUEUED, 0))
            seen.see(queued, send_queues(SOCKETS.read_text(), ports))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        ended.set()
        looking.join()
    after = servers.metrics()
    seen.closed = _grown(before, after, CLOSED)
    seen.dropped = _grown(before, after, DROPPED)


def _grown(before: Mapping[str, float], after: Mapping[str, float], names: Iterable[str]) -> int:
    return int(sum(after.get(name, 0.0) - before.get(name, 0.0) for name in names))

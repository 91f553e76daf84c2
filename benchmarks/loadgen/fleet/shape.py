"""What is asked of a fleet and what comes back: shapes, loads, measurements, and how clients are divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.loadgen.fleet.tokens import TokenMint
from benchmarks.loadgen.histogram import Histogram

CLIENTS_PER_PROCESS = 19_000  # RLIMIT_NOFILE is 20,000 here and cannot be raised

Counters = dict[str, int]
Request = dict[str, Any]  # keywords of a request to a generator process, as JSON carries them
Answer = dict[str, Any]  # and what it answers
Progress = Callable[[str, Counters], None]


class FleetError(RuntimeError):
    """The generator could not do what was asked: what it says is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Who is there. In a room `members` are judged; `publishers`, and `deaf` members who stop reading while a
    load is measured, are further clients. In pairs every even member sends to the next odd one.
    """

    gateways: Sequence[tuple[str, int]]
    members: int
    publishers: int = 0
    deaf: int = 0
    pair: bool = False
    wire: str = "qw1"
    suite: int = 3
    key_id: int = 0
    server_key: bytes = bytes(32)
    text_size: int = 60
    ping_s: int = 0
    online_only: bool = False
    core: bool = False
    websocket: bool = False  # QW1 inside WebSocket
    zstd: bool = False  # compressed bodies are accepted
    mint: TokenMint | None = None
    user_prefix: str = "b"
    processes: int = 0  # 0: as many as there are cores, or as the limit of open files asks for
    own_gateway: bool = False  # each process speaks to one gateway alone (process i to gateway i)


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: `rate` messages a second by all publishers together, open loop, for warm_up_s +
    seconds.
    """

    rate: float
    seconds: float
    warm_up_s: float = 1.0
    drain_s: float = 10.0
    hold_ms: float = 0.0  # publishers write what is due every hold_ms (0: at once)
    nap_us: int = 1000


@dataclass(slots=True)
class Measured:
    """What arrived. Latencies cover every message due in the window, whenever it arrived; the throughput
    counts what arrived while the window was open; lost, reordered and duplicated cover the whole load
    with warm-up and drain.
    """

    seconds: float
    offered_per_s: float
    throughput_per_s: float
    k_mean: float
    sent: int
    acked_per_s: float
    lost: int
    reordered: int
    duplicated: int
    foreign: int
    refused: int
    refusal_code: int
    closed: int
    delivery: Histogram
    ack: Histogram
    lag: Histogram
    turn: Histogram
    cpu_s: list[float] = field(default_factory=list)
    counters: Counters = field(default_factory=dict)
    bytes_each: float = 0.0  # read from the sockets for each message that came in the window


@dataclass(frozen=True, slots=True)
class Share:
    """What one process holds: clients [first, first + count): members, then publishers, then deaf ones."""

    first: int
    members: int
    publishers: int
    publisher: int  # number of its first publisher
    deaf: int = 0

    @property
    def count(self) -> int:
        return self.members + self.publishers + self.deaf


def _part(whole: int, index: int, parts: int) -> int:
    return whole * (index + 1) // parts - whole * index // parts


def shares(members: int, publishers: int, processes: int, pair: bool, deaf: int = 0) -> list[Share]:
    """Divide evenly; in pairs only between pairs."""
    unit = 2 if pair else 1
    result = []
    first = publisher = 0
    for i in range(processes):
        here = _part(members // unit, i, processes) * unit
        sending = _part(publishers, i, processes)
        share = Share(first, here, sending, first // 2 if pair else publisher, _part(deaf, i, processes))
        result.append(share)
        first += share.count
        publisher += sending
    return result

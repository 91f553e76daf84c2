"""The figures that the README shows: their commands, and how each becomes one line of its table."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.machine import ROOT

TIMEOUT_S = 3600.0


def per_s(item: Figure) -> str:
    """Throughput and latency of a figure."""
    return f"{_short(item['throughput_per_s'])}/s, p99 {item['latency_ms']['p99']:.0f} ms"


def fan_out(item: Figure) -> str:
    lost = "" if item["lost"] == 0 else f", {item['lost']:,} lost"
    return f"{per_s(item)}, K {item['k_mean']:.0f}{lost}"


def slow_readers(item: Figure) -> str:
    slow = item["slow_readers"]
    held, limit = (f"{slow[key] / 1e3:.0f}" for key in ("bytes_per_reader_max", "limit_bytes"))
    return f"{fan_out(item)}; at most {held} of {limit} kB wait for a slow one, {slow['closed']} closed"


def per_core(item: Figure) -> str:
    return f"{_short(item['per_server_core_per_s'])}/s per server core"


def stored(item: Figure) -> str:
    return f"{per_s(item)}; ack p99 at half that rate {item['half_rate']['ack_latency_ms']['p99']:.0f} ms"


def memory(item: Figure) -> str:
    user = item["server"]["user_bytes_per_connection"]
    heartbeats = f", heartbeats {item['heartbeat_core_share']:.1%} of a core" if item["pongs"] else ""
    pause = f", longest pause {item['server']['max_pause_ms']:.1f} ms"
    return f"{item['memory_bytes'] / 1e9:.1f} GB in all, {user:,.0f} B of user memory each{heartbeats}{pause}"


def beside(item: Figure) -> str:
    ratios = ", ".join(f"{ratio:.1f}x {name}" for name, ratio in sorted(item["ratios"].items()))
    return f"{per_s(item)}: {ratios}"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the set. `words` follow `qianwan bench`."""

    title: str
    words: str
    value: Callable[[Figure], str]


ROWS: dict[str, Row] = {
    "fanout-aegis": Row("fan-out, 5,000 members, AEGIS-128L", "fanout --members 5000 --runs 3", fan_out),
    "fanout-chacha": Row(
        "the same, ChaCha20-Poly1305", "fanout --members 5000 --suite chachapoly --runs 3", fan_out
    ),
    "fanout-unbatched": Row(
        "the same, one message per flush", "fanout --members 5000 --k 1 --runs 3", fan_out
    ),
    "compare-5000": Row("beside peers (plaintext), 5,000 members", "compare --members 5000", beside),
    "compare-15000": Row(
        "beside the fastest of them, 15,000 members", "compare --members 15000 --peers uwebsockets", beside
    ),
    "compare-15000-brokers": Row(
        "beside the others, 15,000 members", "compare --members 15000 --peers nats,mosquitto", beside
    ),
    "room-100000": Row(
        "100,000 members, 100 messages/s",
        "fanout --members 100000 --rate 100 --seconds 30 --p99 3000 --k 256",
        fan_out,
    ),
    "readers": Row(
        "3 M deliveries/s, every reader at work",
        "fanout --members 5000 --rate 600 --seconds 20 --runs 3",
        fan_out,
    ),
    "slow-readers": Row(
        "the same with 50 more that stop reading",
        "fanout --members 5000 --rate 600 --seconds 20 --runs 3 --slow 50",
        slow_readers,
    ),
    "idle-19000": Row("19,000 idle connections", "idle --connections 19000 --hold 60", memory),
    "idle-million": Row(
        "1,000,000 idle connections", "idle --connections 1000000 --hold 300 --interval 240", memory
    ),
    "handshake": Row("full handshakes", "handshake --seconds 20", per_core),
    "relay-core": Row("relay inside the core", "relay --core --loops 1 --generators 1 --runs 3", per_core),
    "relay": Row("relay through the im service, one process", "relay --runs 3", per_s),
    "send": Row("stored, acknowledged and delivered, one process", "send --runs 3", stored),
    "send-16000": Row("the same at 16,000 messages/s", "send --rate 16000 --runs 3", stored),
}


def record(names: Iterable[str], folder: Path, tell: Callable[[str], None]) -> list[str]:
    """Run each command by itself and write its JSON into the folder. Returns the names that failed."""
    failed = []
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        tell(f"{name}: qianwan bench {ROWS[name].words}")
        words = [sys.executable, "-m", "program", "bench", *shlex.split(ROWS[name].words)]
        words += ["--json", str(folder / f"{name}.json")]
        if subprocess.run(words, cwd=ROOT, check=False, timeout=TIMEOUT_S).returncode:
            failed.append(name)
    return failed


def markdown(figures: dict[str, Figure]) -> str:
    """The table of the README, of the figures that are there."""
    lines = ["| figure | value | command | commit |", "|---|---|---|---|"]
    for name, row in ROWS.items():
        if name in figures:
            item = figures[name]
            limited = " (generator limited)" if item["generator_limited"] else ""
            command = f"`qianwan bench {row.words}`"
            lines.append(f"| {row.title} | {row.value(item)}{limited} | {command} | {item['commit']} |")
    return "\n".join(lines) + "\n"


def _short(value: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"

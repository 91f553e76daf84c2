"""What very many connections ask of the machine, looked at before anything is started.

Both ends of each connection live here: two descriptors, two epoll entries, some 8 kB in the kernel, a session
in the gateway and one in the im process.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.loadgen.fleet import CLIENTS_PER_PROCESS, FleetError
from benchmarks.machine import memory

BYTES_PER_CONNECTION = 10_500
BYTES_PER_PROCESS = 12 << 20  # a gateway worker or a generator process, beyond what it shares
SPARE_FILES = 20_000


def require(connections: int) -> None:
    """Raises FleetError with every limit that is in the way and how to move it."""
    if found := shortages(connections):
        raise FleetError("\n".join([f"{connections:,} connections do not fit here:", *found]))


def shortages(connections: int) -> list[str]:
    """One line for each limit below what `connections` need; empty when they fit."""
    processes = 2 * -(-connections // CLIENTS_PER_PROCESS)
    files = 2 * connections + SPARE_FILES
    needs = (
        ("fs.file-max", _knob("fs/file-max"), files, "sysctl -w fs.file-max={need}"),
        (
            "fs.epoll.max_user_watches",
            _knob("fs/epoll/max_user_watches"),
            2 * connections,
            "sysctl -w fs.epoll.max_user_watches={need}",
        ),
        (
            "net.netfilter.nf_conntrack_max",
            _knob("net/netfilter/nf_conntrack_max") if _tracked() else None,
            connections + _tracked(),
            "sysctl -w net.netfilter.nf_conntrack_max={need}, or take lo out of connection tracking",
        ),
        (
            "available memory",
            memory("MemAvailable"),
            connections * BYTES_PER_CONNECTION + processes * BYTES_PER_PROCESS,
            "{need} bytes: fewer connections, or a larger machine",
        ),
    )
    return [
        f"  {name} is {have:,}; {advice.format(need=need)}"
        for name, have, need, advice in needs
        if have is not None and have < need
    ]


def _tracked() -> int:
    """Connections that netfilter follows now; 0 when nothing asked it to."""
    return _knob("net/netfilter/nf_conntrack_count") or 0


def _knob(path: str) -> int | None:
    try:
        return int(Path("/proc/sys", path).read_text().split()[0])
    except (OSError, ValueError):
        return None

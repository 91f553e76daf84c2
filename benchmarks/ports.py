"""Ports for servers that benchmarks and tests start, below the range of outgoing connections.

A process takes its ports from a block of its own. It holds a block by an abstract Unix socket of that name:
the kernel gives the name to one process, forgets it when that ends, and keeps it apart by network namespace,
as it does with ports. So two processes are never given the same port, however long it is before they listen.
"""

from __future__ import annotations

import socket
from itertools import count

FIRST, LAST = 12_000, 32_000
BLOCK = 250


class NoPorts(RuntimeError):
    """Every block is held, or every port of ours is in use."""


class _Block:
    """What this process holds, and where the next search begins."""

    def __init__(self) -> None:
        for first in range(FIRST, LAST, BLOCK):
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0qianwan-ports-{first}")
            except OSError:
                claim.close()
                continue
            self.claim, self.first, self.next = claim, first, first
            return
        raise NoPorts(f"all {(LAST - FIRST) // BLOCK} blocks of ports are held by other processes")


_block: _Block | None = None


def row_of_ports(size: int) -> int:
    """The first of `size` ports in a row where nobody listens. The whole block goes by first."""
    global _block
    _block = _block or _Block()
    for _ in range(2 * BLOCK):
        if _block.next + size > _block.first + BLOCK:
            _block.next = _block.first
        first = _block.next
        taken = next(n for n in count() if n == size or not _free(first + n))
        _block.next = first + taken + (taken < size)
        if taken == size:
            return first
    raise NoPorts(f"no {size} free ports in a row between {_block.first} and {_block.first + BLOCK}")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

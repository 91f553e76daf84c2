"""im processes that this gateway took for dead, and that go on: what they say of chatrooms may be old.

Their open calls were answered 504, and whoever asked has asked another one since. What is left of them, on
the way or in a process that stood still, must not undo that.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import count

from control.node_ids import Peer

REMEMBERED = 64
"""Epochs of im processes that were gone: those that went first are forgotten above this number."""


class Fences:
    """One that was gone is asked with a number (streams.operations.Afresh) when it is heard again, and heeded
    when it has answered with that number."""

    def __init__(self) -> None:
        self._gone: OrderedDict[Peer, int] = OrderedDict()  # the number it was asked with, 0: not yet
        self._heeded: dict[Peer, int] = {}
        self._numbers = count(1)

    def gone(self, peer: Peer) -> None:
        self._gone[peer] = 0
        self._gone.move_to_end(peer)
        self._heeded.pop(peer, None)
        if len(self._gone) > REMEMBERED:
            self._heeded.pop(self._gone.popitem(last=False)[0], None)

    def ask(self, peer: Peer) -> int | None:
        """The number to ask this one with, None: it was never gone."""
        if peer not in self._gone:
            return None
        if not self._gone[peer]:
            self._gone[peer] = next(self._numbers)
        return self._gone[peer]

    def heeded(self, peer: Peer, number: int) -> None:
        if number and self._gone.get(peer) == number:
            self._heeded[peer] = number

    def heeds(self, peer: Peer) -> bool:
        return not self._gone or peer not in self._gone or peer in self._heeded

"""The routing directory in memory; each im process holds its own copy, fed by the gateways' streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import cache

EXPIRED = 16
"""Dead epochs remembered for each gateway, to know one that comes back."""


@cache
def _alone(node: int) -> tuple[int, ...]:
    """Nearly all topics are users, and nearly all users are at one gateway: one tuple for all of these."""
    return (node,)


class MemoryRoutes:
    """Implements Routes. Two views of the same entries: by topic for a publish, by gateway for a death."""

    def __init__(self) -> None:
        self._by_topic: dict[str, tuple[int, ...]] = {}
        self._by_node: dict[int, set[str]] = {}
        self._live: dict[int, int] = {}
        self._expired: dict[int, deque[int]] = {}

    def announce(self, node: int, epoch: int, topics: Iterable[str]) -> None:
        if self._live.get(node) != epoch:
            return
        mine = self._by_node.setdefault(node, set())
        for topic in topics:
            if topic not in mine:
                mine.add(topic)
                before = self._by_topic.get(topic)
                self._by_topic[topic] = _alone(node) if before is None else (*before, node)

    def withdraw(self, node: int, epoch: int, topics: Iterable[str]) -> None:
        if self._live.get(node) == epoch:
            for topic in topics:
                self._remove(node, topic)

    def replace(self, node: int, epoch: int, topics: Iterable[str]) -> None:
        if self._live.get(node) != epoch:
            return
        wanted = set(topics)
        for topic in self._by_node.get(node, set()) - wanted:
            self._remove(node, topic)
        self.announce(node, epoch, wanted)

    def gateways(self, topic: str) -> tuple[int, ...]:
        return self._by_topic.get(topic, ())

    def expire(self, node: int, epoch: int) -> None:
        expired = self._expired.setdefault(node, deque(maxlen=EXPIRED))
        if epoch not in expired:
            expired.append(epoch)
        if self._live.get(node) == epoch:
            self._clear(node)
            del self._live[node]

    def live(self, node: int, epoch: int) -> bool:
        if self._live.get(node) != epoch:
            self._clear(node)
            self._live[node] = epoch
        expired = self._expired.get(node, ())
        if epoch not in expired:
            return False
        self._expired[node].remove(epoch)
        return True

    def size(self) -> int:
        return sum(len(topics) for topics in self._by_node.values())

    def topics(self, node: int) -> frozenset[str]:
        """Topics a gateway has announced: what must equal the gateway's own list."""
        return frozenset(self._by_node.get(node, ()))

    def _clear(self, node: int) -> None:
        for topic in list(self._by_node.get(node, ())):
            self._remove(node, topic)
        self._by_node.pop(node, None)

    def _remove(self, node: int, topic: str) -> None:
        mine = self._by_node.get(node)
        if mine is None or topic not in mine:
            return
        mine.discard(topic)
        left = tuple(other for other in self._by_topic[topic] if other != node)
        if left:
            self._by_topic[topic] = left if len(left) > 1 else _alone(left[0])
        else:
            del self._by_topic[topic]

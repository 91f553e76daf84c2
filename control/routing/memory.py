"""The routing directory in memory; each im process holds its own copy, fed by the gateways' streams."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache


@cache
def _alone(node: int) -> tuple[int, ...]:
    """Nearly all topics are users, and nearly all users are at one gateway: one tuple for all of these."""
    return (node,)


class MemoryRoutes:
    """Implements Routes. Two views of the same entries: by topic for a publish, by gateway for a death."""

    def __init__(self) -> None:
        self._by_topic: dict[str, tuple[int, ...]] = {}
        self._by_node: dict[int, set[str]] = {}
        self._epochs: dict[int, int] = {}
        self._buried: dict[int, int] = {}

    def announce(self, node: int, epoch: int, topics: Iterable[str]) -> None:
        if not self._is_current(node, epoch):
            return
        mine = self._by_node.setdefault(node, set())
        for topic in topics:
            if topic not in mine:
                mine.add(topic)
                before = self._by_topic.get(topic)
                self._by_topic[topic] = _alone(node) if before is None else (*before, node)

    def withdraw(self, node: int, epoch: int, topics: Iterable[str]) -> None:
        if self._is_current(node, epoch):
            for topic in topics:
                self._remove(node, topic)

    def replace(self, node: int, epoch: int, topics: Iterable[str]) -> None:
        if not self._is_current(node, epoch):
            return
        wanted = set(topics)
        for topic in self._by_node.get(node, set()) - wanted:
            self._remove(node, topic)
        self.announce(node, epoch, wanted)

    def gateways(self, topic: str) -> tuple[int, ...]:
        return self._by_topic.get(topic, ())

    def expire(self, node: int, epoch: int) -> None:
        self._buried[node] = max(epoch, self._buried.get(node, 0))
        if self._epochs.get(node, 0) <= epoch:
            self._clear(node)
            self._epochs.pop(node, None)

    def restore(self, node: int, epoch: int) -> bool:
        if self._buried.get(node, 0) < epoch:
            return False
        self._buried[node] = epoch - 1
        return True

    def size(self) -> int:
        return sum(len(topics) for topics in self._by_node.values())

    def topics(self, node: int) -> frozenset[str]:
        """Topics a gateway has announced: what must equal the gateway's own list."""
        return frozenset(self._by_node.get(node, ()))

    def _is_current(self, node: int, epoch: int) -> bool:
        if epoch <= self._buried.get(node, 0) or epoch < self._epochs.get(node, 0):
            return False
        if epoch > self._epochs.get(node, 0):
            self._clear(node)
            self._epochs[node] = epoch
        return True

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

"""Which topics of this gateway have members, as the im processes must know it.

Two ways to the same answer. With one loop the core's own tables are asked when somebody wants to know all of
them, and nothing is kept here per user. With several loops a topic begins with its first member on any loop
and ends with its last on all, so the loops that have it are kept per topic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Take = Callable[[list[str]], None]


class Topics(Protocol):
    """Guarantee: what `tell` hands over is the truth after all events before the hand-over."""

    def changed(self, topic: str, loop: int, up: bool) -> bool:
        """An event of the core. True when the topic begins or ends (or is told again) for the process."""
        ...

    def tell(self, take: Take) -> None:
        """Call `take` with all topics, now or soon."""
        ...

    def __len__(self) -> int: ...


class KeptTopics:
    """Several loops: topic -> bits of the loops that have members."""

    def __init__(self) -> None:
        self._loops: dict[str, int] = {}

    def changed(self, topic: str, loop: int, up: bool) -> bool:
        before = self._loops.get(topic, 0)
        after = before | 1 << loop if up else before & ~(1 << loop)
        if after:
            self._loops[topic] = after
        else:
            self._loops.pop(topic, None)
        return bool(before) != bool(after)

    def tell(self, take: Take) -> None:
        take(list(self._loops))

    def __len__(self) -> int:
        return len(self._loops)


class ToldTopics:
    """One loop: `ask` makes the core repeat every topic as an event and end with one that has no name."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._takers: list[Take] = []  # of the list that is being told
        self._later: list[Take] = []  # of the one after it
        self._names: dict[str, None] = {}
        self._count = 0

    def changed(self, topic: str, loop: int, up: bool) -> bool:
        if not topic:
            self._end()
            return False
        if not self._takers:
            self._count += 1 if up else -1
        elif up:
            self._names[topic] = None
        else:
            self._names.pop(topic, None)
        return True

    def tell(self, take: Take) -> None:
        if self._takers:
            self._later.append(take)
        else:
            self._takers.append(take)
            self._ask()

    def _end(self) -> None:
        names, self._names = list(self._names), {}
        takers, self._takers, self._later = self._takers, self._later, []
        self._count = len(names)
        if self._takers:
            self._ask()
        for take in takers:
            take(names)

    def __len__(self) -> int:
        return self._count

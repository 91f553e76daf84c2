"""Which topics of this gateway have members, as the im processes must know it.

Two ways to the same answer. With one loop the core's own tables are asked when somebody wants to know all of
them (resync.py), and nothing is kept here per user. With several loops a topic begins with its first member
on any loop and ends with its last on all, so the loops that have it are kept per topic.
"""

from __future__ import annotations

from typing import Protocol


class Topics(Protocol):
    """Guarantee: what `end` answers is the truth after all events before it."""

    def changed(self, topic: str, loop: int, up: bool) -> bool:
        """An event of the core. True when the topic begins or ends (or is repeated) for the process."""
        ...

    def begin(self) -> None:
        """The core is about to repeat every topic."""
        ...

    def end(self) -> list[str]:
        """It has: all topics."""
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

    def begin(self) -> None: ...

    def end(self) -> list[str]:
        return list(self._loops)

    def __len__(self) -> int:
        return len(self._loops)


class CountedTopics:
    """One loop: only counted; names are kept while the core repeats them."""

    def __init__(self) -> None:
        self._names: dict[str, None] | None = None
        self._count = 0

    def changed(self, topic: str, loop: int, up: bool) -> bool:
        if self._names is None:
            self._count += 1 if up else -1
        elif up:
            self._names[topic] = None
        else:
            self._names.pop(topic, None)
        return True

    def begin(self) -> None:
        self._names = {}

    def end(self) -> list[str]:
        names, self._names = list(self._names or ()), None
        self._count = len(names)
        return names

    def __len__(self) -> int:
        return self._count

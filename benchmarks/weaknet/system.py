"""What a run needs of the system that it measures: a server in its network, and people who talk."""

from __future__ import annotations

import random
import string
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self


def body(name: str, size: int) -> str:
    """A text of so many characters that begins with the name of its message; the rest does not compress well,
    and is the same for the same name.
    """
    filler = random.Random(name).choices(string.ascii_letters, k=max(0, size - len(name) - 1))
    return f"{name} {''.join(filler)}"


def name_in(text: str) -> str:
    return text.partition(" ")[0]


@dataclass(slots=True)
class Watch:
    """What a person's connection tells: messages by name, and whether it is there."""

    arrived: Callable[[str], None]
    online: bool = False
    logins: int = 0
    resumed: int = 0
    deaths: int = 0
    """connections that ended without being told to"""
    over: bool = False
    """it is being closed: nothing counts any more"""
    changed: list[Callable[[bool], None]] = field(default_factory=list)

    def state(self, online: bool) -> None:
        if online == self.online or self.over:
            return
        self.online = online
        if online:
            self.logins += 1
        else:
            self.deaths += 1
        for tell in list(self.changed):
            tell(online)


class Person(ABC):
    """A user on a device. Nothing here waits for the network but `open` and `close`."""

    def __init__(self, user: str, watch: Watch) -> None:
        self.user = user
        self.watch = watch

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def send(self, to: str, text: str) -> None:
        """To a user; what is said while the connection is away goes when it is back."""

    @abstractmethod
    async def join(self, room: str) -> None: ...

    @abstractmethod
    def say(self, room: str, text: str) -> None: ...

    @abstractmethod
    def network_changed(self) -> None:
        """The system says so: what was connected is dead, and another network is there."""

    @property
    def interval_s(self) -> float:
        """Of its heartbeat, as of now."""
        return 0.0


class System(ABC):
    """Entered inside the server's network; people are made inside that of the phones."""

    name: ClassVar[str]
    keeps: ClassVar[bool]
    """It promises that nothing is lost or doubled: then that is a gate."""
    holds: ClassVar[bool] = False
    """What waits for somebody whose connection died without a word comes when that one is back."""
    beat_s: ClassVar[float]
    """the heartbeat interval that it is meant to be run with"""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot run here, None when it can."""
        return None

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    @abstractmethod
    def port(self) -> int: ...

    @abstractmethod
    def person(self, user: str, host: str, watch: Watch, *, searches: bool = False) -> Person:
        """`host`: where this one finds the server. `searches`: for the heartbeat interval, where it can."""

    @abstractmethod
    def kill_and_start(self, away_s: float) -> None:
        """The server dies without a word and is back after so long."""

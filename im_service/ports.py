"""What the IM service needs from outside, each as small as it can be. The control plane supplies them.

Every method is called from the asyncio thread. Those without `async` must not block.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

Reply = tuple[int, int, int, int, bytes]
"""(connection, frame type, request, code, payload)"""
SERVER_NODE = -1
"""Node of publications that no connection asked for."""
Publication = tuple[str, int, bytes, int, int]
"""(topic, frame type, body, priority, connection left out or 0)"""
HIGH, NORMAL, DECISION, NOTICE = 1, 0, -1, -2
"""Priorities: messages, then what those who manage a topic decided, then what its members do. What is below
gives way first, and each has a budget of its own at the gateways."""
ERASES = -3
"""Priority of a MSG or an EVENT to a user that takes back what was said before: in the conversation of a MSG,
anywhere else. What of that a client has not acknowledged is not sent to it again: it shall ask the store."""
Budget = tuple[float, float]
"""(normal, high) messages a second of one topic; 0 = no limit."""


class Session(NamedTuple):
    """One logged-in connection: the gateway node, the connection id there, who and on what device."""

    node: int
    conn: int
    user: str
    device: str


SendItem = tuple[Session, int, str, bytes]
"""A SEND as the gateway hands it over: (session, request, target, payload)."""


class Downlink(Protocol):
    """The way to the connections. Calls take effect in the order made; nothing here waits or fails.

    What cannot be delivered any more (connection gone, mailbox full) is dropped and counted by the
    supplier: the store is the truth and a client's next sync repairs it.
    """

    def reply(self, session: Session, type: int, request: int, code: int, payload: bytes) -> None:
        """SEND_ACK or RETURN to one connection."""

    def reply_many(self, node: int, replies: Sequence[Reply]) -> None:
        """Many replies to connections of one node."""

    def publish(
        self, topic: str, type: int, body: bytes, priority: int = NORMAL, exclude: Session | None = None
    ) -> None:
        """A frame to every member of a topic on every node. MSG is never dropped, EVENT may be."""

    def publish_many(self, node: int, items: Sequence[Publication]) -> None:
        """Many publications in order. The connections to leave out are connections of `node`."""

    def join(self, session: Session, topic: str, budget: Budget | None = None) -> None:
        """This connection becomes a member of the topic, whose budget this is; None: that of all rooms."""

    def budget(self, topic: str, budget: Budget | None) -> None:
        """The topic's budget from now on, for those who are in it."""

    def leave(self, session: Session, topic: str) -> None:
        """Out of the topic and of its tags (`topic#..`)."""

    def join_user(self, user: str, topic: str) -> None:
        """Every connection of the user, on every node, becomes a member (a member already: no effect)."""

    def leave_user(self, user: str, topic: str) -> None: ...

    def kick(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None:
        """Close the user's sessions (of that device, or all) with a session id below `before_session`."""


class Clock(Protocol):
    """Stamps and ends are on the wall clock, which somebody may set; rates and intervals on the other one."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""

    def elapsed_ms(self) -> int:
        """Milliseconds since some moment of the past; never set, goes on while the machine sleeps."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def elapsed_ms(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class PeersPort(Protocol):
    """The other im processes: their caches must forget what changed here."""

    def changed(self, kind: str, key: str) -> None:
        """kind: account, pair, group, member, room, broadcast, presence, push, session, away, back; key: the
        ids joined by a blank (session, away: node, connection, user, device, and "alone" when that was the
        user's last connection, of which back says that there is one again; presence: user, then device and
        platform of each session that has a connection, or had one a moment ago). left: node and connection of
        somebody whom nobody knew inside, room. To one process alone go guest: room, the session as above,
        tags; out: number of the order, room, user; came: unix ms, room, user; ended: as accounts/ended.py
        makes it."""


Tell = Callable[[str, str], None]
"""A word to one im process: kind, key."""
Way = Callable[[str], Tell | None]
"""To the process that serves a topic; None where it is this one."""


class NoPeers:
    """One im process: nobody else caches anything."""

    def changed(self, kind: str, key: str) -> None:
        return


LiveDevices = list[tuple[str, int]]
"""(device, platform) of the live sessions of a user."""


class Presence(Protocol):
    """Who is online anywhere. The default looks at the sessions of this process only."""

    def online(self, user: str) -> bool: ...

    async def devices(self, users: Sequence[str]) -> Mapping[str, LiveDevices]:
        """Of each of these users, whichever process they logged in at. Without those whose process does not
        answer."""

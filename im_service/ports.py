"""What the IM service needs from outside, each as small as it can be. The control plane supplies them.

Every method is called from the asyncio thread. Those without `async` must not block.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

Reply = tuple[int, int, int, int, bytes]
"""(connection, frame type, request, code, payload)"""
Publication = tuple[str, int, bytes, int, int]
"""(topic, frame type, body, priority 0|1, connection left out or 0)"""


class Session(NamedTuple):
    """One logged-in connection: the gateway node, the connection id there, who and on what device."""

    node: int
    conn: int
    user: str
    device: str


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
        self, topic: str, type: int, body: bytes, priority: int = 0, exclude: Session | None = None
    ) -> None:
        """A frame to every member of a topic on every node. MSG is never dropped, EVENT may be."""

    def publish_many(self, node: int, items: Sequence[Publication]) -> None:
        """Many publications in order. The connections to leave out are connections of `node`."""

    def join(self, session: Session, topic: str) -> None:
        """This connection becomes a member of the topic."""

    def leave(self, session: Session, topic: str) -> None: ...

    def join_user(self, user: str, topic: str) -> None:
        """Every connection of the user, on every node, becomes a member (a member already: no effect)."""

    def leave_user(self, user: str, topic: str) -> None: ...

    def kick(self, user: str, device: str | None, before_session: int, code: int, text: str) -> None:
        """Close the user's sessions (of that device, or all) with a session id below `before_session`."""


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Action(IntEnum):
    """What a hook wants done with a message."""

    PASS = 0
    REPLACE = 1  # go on with another body and ext
    REJECT = 2  # refuse, the sender is told
    SWALLOW = 3  # store for the sender only, acknowledge as if nothing were


class Draft(NamedTuple):
    """A message on its way through the hooks. `body` is msgpack; `antispam` what the sender said about
    scanning."""

    conversation: str
    sender: str
    device: str
    client_id: str
    type: int
    body: bytes
    ext: str | None
    antispam: dict[str, str | int | bool] | None


class Verdict(NamedTuple):
    action: Action = Action.PASS
    body: bytes | None = None
    ext: str | None = None
    text: str = ""


class Hook(Protocol):
    """A judge of messages before they are stored: moderation, or the callback to the application's server."""

    def wants(self, kind: str, type: int) -> bool:
        """Is this hook interested in messages of this kind (s, g, r) and type? Called per message: be
        quick."""

    def judge(self, draft: Draft) -> Verdict | Awaitable[Verdict]:
        """The verdict, or an awaitable of it: then later messages of this sender to this target wait in
        order.

        An exception counts as the hook's own failure policy having failed: the message is answered 503.
        """


class Push(NamedTuple):
    """One vendor push: to whom, what it says, and why it is allowed to."""

    user: str
    conversation: str
    server_id: int
    text: str
    payload: str
    badge: bool  # counts in the badge number
    forced: bool  # overrides the receiver's mute of the conversation
    sender: str


class PushPort(Protocol):
    """Vendor push. Only receivers without a live session are offered."""

    def offer(self, pushes: Sequence[Push]) -> None: ...

    def cancel(self, conversation: str, server_id: int) -> None:
        """The message was recalled: pushes not yet handed to a vendor are dropped."""


class Copy(NamedTuple):
    """One event for the application's own server. `env` names the endpoint, None the default one."""

    event: str
    env: str | None
    body: bytes


class CopyPort(Protocol):
    """Copies to third parties, offered after the commit."""

    def offer(self, copies: Sequence[Copy]) -> None: ...


class PeersPort(Protocol):
    """The other im processes: their caches must forget what changed here."""

    def changed(self, kind: str, key: str) -> None:
        """kind: account, pair, group, member, room, broadcast, presence, session; key: the ids joined by a
        blank (session: node, connection, user, device)."""


class NoPeers:
    """One im process: nobody else caches anything."""

    def changed(self, kind: str, key: str) -> None:
        return


class Presence(Protocol):
    """Who is online anywhere. The default looks at the sessions of this process only."""

    def online(self, user: str) -> bool: ...

    def devices(self, user: str) -> list[tuple[str, int]]:
        """(device, platform) of the live sessions."""

"""What a send to one target needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from frame.constants import USER_PREFIX
from im_service.live.directory import AccountState, GroupState, MemberState, PairState
from im_service.live.room import RoomState
from im_service.rates import Bucket
from im_service.storage.records import Aim


class LiveUser(Protocol):
    """The live sessions of one user, as far as a send must know them."""

    @property
    def live(self) -> Sequence[object]: ...


class Route:
    """One sender's way to one target. The states it holds are live: a change in the store shows at once."""

    __slots__ = (
        "account",
        "bucket",
        "conversation",
        "group",
        "key",
        "kind",
        "member",
        "mine",
        "pair",
        "room",
        "self_topic",
        "sender",
        "their_account",
        "theirs",
        "topic",
    )

    def __init__(
        self,
        kind: str,
        conversation: str,
        topic: str,
        sender: str,
        account: AccountState | None,
        bucket: Bucket,
    ) -> None:
        self.kind = kind
        self.conversation = conversation
        self.key = conversation.encode()
        self.topic = topic
        self.sender = sender
        self.self_topic = USER_PREFIX + sender
        self.account = account  # None: the server speaks
        self.bucket = bucket
        self.mine: LiveUser | None = None
        self.theirs: LiveUser | None = None
        self.their_account: AccountState | None = None
        self.pair: PairState | None = None
        self.group: GroupState | None = None
        self.member: MemberState | None = None
        self.room: RoomState | None = None

    @property
    def peer(self) -> str | None:
        """The other one of a single chat."""
        return self.topic[2:] if self.theirs is not None else None

    @property
    def pace_ms(self) -> int:
        """Between two messages of this sender; 0 = as they like. Owner and managers do."""
        if self.group is not None and self.group.slow_ms:
            return 0 if self.member is None or self.member.manager else self.group.slow_ms
        if self.room is not None and self.room.info.slow_s and not self.room.manages(self.sender):
            return self.room.info.slow_s * 1000
        return 0

    def cut(self, target: Aim | None) -> Aim | None:
        """The stored form of a target list: senders always see what they sent."""
        if target is None or (self.sender in target.users) == target.inclusive:
            return target
        if target.inclusive:
            return target._replace(users=(*target.users, self.sender))
        return target._replace(users=tuple(user for user in target.users if user != self.sender))

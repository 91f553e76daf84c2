"""What should be shown: the rules of docs/MESSAGES.md in their simplest form, without a store or a
network.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.im_client import TOMBSTONE


@dataclass
class ModelMessage:
    seq: int
    sender: str
    device: str  # that sent it, "" = the service
    text: str
    badge: bool = True
    sendersync: bool = True
    control: bool = False
    recalled: bool = False
    recall_seq: int = 0  # of the notice that told of it
    blocked: bool = False  # the receiver had the sender on his blacklist
    hidden: set[str] = field(default_factory=set)
    sent_ms: int = 0
    target: tuple[frozenset[str], bool] | None = None  # (ids, inclusive); later joiners see nothing of it


@dataclass
class Membership:
    active: bool = True
    until: int = 0  # last seq of the group when he left
    muted_until: int = 0
    joined: int = 0  # last seq of the group when he came


@dataclass
class ModelConversation:
    name: str
    members: dict[str, Membership]
    log: list[ModelMessage] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    owner: str = ""
    mute_all: bool = False

    def add(self, message: ModelMessage) -> None:
        message.seq = len(self.log) + 1
        self.log.append(message)

    def notice(self, event: str, sender: str, control: bool = False) -> None:
        self.add(ModelMessage(0, sender, "", event, badge=False, control=control))

    def reach(self, user: str) -> int:
        """The last seq this user may see."""
        member = self.members.get(user)
        if member is None:
            return 0
        return len(self.log) if member.active else member.until

    def visible(self, message: ModelMessage, user: str) -> bool:
        if user in message.hidden or message.seq > self.reach(user):
            return False
        if message.target is not None and user != message.sender:
            ids, inclusive = message.target
            if self.members[user].joined >= message.seq or (user in ids) != inclusive:
                return False
        return not (message.blocked and user != message.sender)

    def shows(self, user: str, device: str) -> dict[int, str]:
        """seq -> text on a device that is up to date."""
        shown = {}
        for message in self.log:
            if message.control or not self.visible(message, user):
                continue
            if message.sender == user and not message.sendersync and message.device != device:
                continue
            shown[message.seq] = TOMBSTONE if message.recalled else message.text
        return shown

    def untold(self, user: str) -> set[int]:
        """Recalled after this user had left: a device that showed the message was not told."""
        reach = self.reach(user)
        return {m.seq for m in self.log if m.recalled and m.recall_seq > reach}

    def unread(self, user: str) -> int:
        return sum(
            1
            for m in self.log
            if m.badge and m.sender != user and m.seq > self.read.get(user, 0) and not m.recalled
            and self.visible(m, user)
        )  # fmt: skip

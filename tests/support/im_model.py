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
    revised_seq: int = 0  # of the notice that told of its recall, edit or deletion
    erased: bool = False  # silently deleted for everybody
    reactions: set[tuple[str, str]] = field(default_factory=set)
    receipt: bool = False  # asks who has read it
    readers: set[str] = field(default_factory=set)
    blocked: bool = False  # the receiver had blacklisted the sender
    hidden: set[str] = field(default_factory=set)
    sent_ms: int = 0
    target: tuple[frozenset[str], bool] | None = None  # (ids, inclusive); later joiners see nothing of it


@dataclass
class Membership:
    active: bool = True
    until: int = 0  # last seq of the group when they left
    muted_until: int = 0
    joined: int = 0  # last seq of the group when they came


@dataclass
class ModelConversation:
    name: str
    members: dict[str, Membership]
    log: list[ModelMessage] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    cleared: dict[str, int] = field(default_factory=dict)  # nothing up to here for this user
    owner: str = ""
    mute_all: bool = False
    dismissed: bool = False
    parted: bool = False  # one had the other on the blacklist once, and what was read then was told to nobody

    def add(self, message: ModelMessage) -> None:
        message.seq = len(self.log) + 1
        self.log.append(message)

    def notice(self, event: str, sender: str, control: bool = False) -> None:
        self.add(ModelMessage(0, sender, "", event, badge=False, control=control))

    def revise(self, message: ModelMessage) -> None:
        """A notice about this message goes into the log."""
        self.add(ModelMessage(0, message.sender, "", "", badge=False, control=True, blocked=message.blocked))
        message.revised_seq = len(self.log)

    def takes_back(self, message: ModelMessage, mode: str) -> bool:
        """A recall. -> was there anything left to take back."""
        if mode == "receiver" and self.name.startswith("g/"):
            changed, message.blocked = not message.blocked, True
            return changed
        if mode == "receiver":
            before = len(message.hidden - {message.sender})
            message.hidden |= self.members.keys() - {message.sender}
            return not before
        message.reactions.clear()
        message.recalled, message.erased = mode == "both", mode == "silent"
        return True

    def reach(self, user: str) -> int:
        """The last seq this user may see."""
        member = self.members.get(user)
        if member is None:
            return 0
        return len(self.log) if member.active else member.until

    def visible(self, message: ModelMessage, user: str) -> bool:
        if user in message.hidden or message.erased or message.seq > self.reach(user):
            return False
        if message.seq <= self.cleared.get(user, 0):
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
        """Revised after this user had left: a device that showed the message was not told."""
        reach = self.reach(user)
        return {m.seq for m in self.log if m.revised_seq > reach}

    def awaited(self, message: ModelMessage) -> set[str]:
        """Those present who were there before the message and whose receipt it asks for."""
        if not message.receipt or message.recalled or message.erased or message.blocked:
            return set()
        return {
            user for user, member in self.members.items()
            if member.active and member.joined < message.seq and user != message.sender
        }  # fmt: skip

    def unread(self, user: str) -> int:
        return sum(
            1
            for m in self.log
            if m.badge and m.sender != user and m.seq > self.read.get(user, 0) and not m.recalled
            and self.visible(m, user)
        )  # fmt: skip

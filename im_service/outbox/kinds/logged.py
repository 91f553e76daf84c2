"""Kinds that are read from the log: messages, and the notices of groups and about messages. Here is what
`shapes.py` makes of a row.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from im_service.outbox.kinds.base import Big, By, Ms, UntilMs

CONVERSATION = "the conversation"


class AimTold(Struct, kw_only=True):
    """Who of the conversation it is for: these users, or all but these."""

    users: list[str]
    inclusive: bool


class Row(Struct, kw_only=True):
    """Of every row of the log. `seq` 0: no view keeps it."""

    conversation: str
    seq: int
    server_id: Big
    time_ms: Ms


class MessageTold(Row, kw_only=True, rename={"sender": "from"}):
    """A message, as it is now."""

    sender: str
    client_id: str
    type: Annotated[int, Meta(description="docs/MESSAGES.md says what is in the body of which type")]
    body: object
    options: Annotated[dict[str, object], Meta(description="those that the sender named")] | UnsetType = UNSET
    ext: str | UnsetType = UNSET
    recalled: Annotated[bool, Meta(description="there and true: body is the tombstone")] | UnsetType = UNSET
    edited: Annotated[bool, Meta(description="there and true: body is the last version")] | UnsetType = UNSET
    to_sender_only: bool | UnsetType = UNSET
    target: AimTold | UnsetType = UNSET


class SingleMessage(MessageTold, kw_only=True):
    to: str


class Erased(Row, kw_only=True):
    """A message that was deleted for everybody."""

    erased: bool


class Notice(Struct, kw_only=True):
    """What the service says in the log. `RECORD` as of a change: it is always there."""

    KIND: ClassVar[str]
    SUBJECT: ClassVar[str] = CONVERSATION


class MessageRecall(Notice, kw_only=True):
    """A message was taken back; `text` and `attach` are what people are told."""

    KIND = "message.recall"
    seq: int
    server_id: Big
    client_id: str
    operator: By
    text: str
    attach: str


class MessageDelete(Notice, kw_only=True):
    """Messages were deleted: for those in `target`, who is named in `keeps` has them still."""

    KIND = "message.delete"
    seqs: list[int]
    keeps: str | UnsetType = UNSET


class MessageEdit(Notice, kw_only=True):
    """A message has a new body: the event of the message, read again, has it."""

    KIND = "message.edit"
    seq: int
    server_id: Big
    client_id: str
    operator: By


class MessageRelease(Notice, kw_only=True):
    """A held message passed."""

    KIND = "message.release"
    seq: int
    server_id: Big
    client_id: str


class MessageRefuse(Notice, kw_only=True):
    """A held message was refused: its sender is told this."""

    KIND = "message.refuse"
    seq: int
    server_id: Big
    client_id: str
    text: str


class GroupNotice(Notice, kw_only=True):
    SUBJECT = "g/<group>"
    by: By


class GroupCreate(GroupNotice, kw_only=True):
    """A group was made, with these first members beside its owner."""

    KIND = "group.create"
    owner: str
    members: list[str]
    name: str


class GroupUpdate(GroupNotice, kw_only=True):
    """Its name, announcement or settings were changed."""

    KIND = "group.update"
    changes: Annotated[dict[str, object], Meta(description="what is different now, by name")]


class GroupDismiss(GroupNotice, kw_only=True):
    """It was ended."""

    KIND = "group.dismiss"


class GroupTransfer(GroupNotice, kw_only=True):
    """`user` is the owner; `left`: the one before is no member any more."""

    KIND = "group.transfer"
    user: str
    left: bool


class GroupInvite(GroupNotice, kw_only=True):
    """These were added by a member or the server."""

    KIND = "group.invite"
    users: list[str]


class GroupJoin(GroupNotice, kw_only=True):
    """These came in by themselves, or were let in."""

    KIND = "group.join"
    users: list[str]


class GroupLeave(GroupNotice, kw_only=True):
    """These left."""

    KIND = "group.leave"
    users: list[str]


class GroupKick(GroupNotice, kw_only=True):
    """These were put out; `text`: why, as they are told."""

    KIND = "group.kick"
    users: list[str]
    text: str | UnsetType = UNSET


class GroupRole(GroupNotice, kw_only=True):
    """These are `manager` or `member` now."""

    KIND = "group.role"
    users: list[str]
    role: str


class GroupNick(GroupNotice, kw_only=True):
    """`user` is called so in the group."""

    KIND = "group.nick"
    user: str
    nick: str


class GroupMute(GroupNotice, kw_only=True):
    """`user` does not speak there until then."""

    KIND = "group.mute"
    user: str
    until_ms: UntilMs


class GroupMuteAll(GroupNotice, kw_only=True):
    """Only its owner and managers speak, or all again."""

    KIND = "group.mute_all"
    on: bool


NOTICES: tuple[type[Notice], ...] = (
    MessageRecall,
    MessageDelete,
    MessageEdit,
    MessageRelease,
    MessageRefuse,
    GroupCreate,
    GroupUpdate,
    GroupDismiss,
    GroupTransfer,
    GroupInvite,
    GroupJoin,
    GroupLeave,
    GroupKick,
    GroupRole,
    GroupNick,
    GroupMute,
    GroupMuteAll,
)


class Noticed(Row, kw_only=True, rename={"sender": "from"}):
    """The row of a notice; `notice` is what its kind says."""

    sender: By
    target: AimTold | UnsetType = UNSET

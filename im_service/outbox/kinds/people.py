"""Kinds of sessions, accounts, relations, receipts, reactions, broadcasts and verdicts."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from im_service.outbox.kinds.base import Big, By, Change, Ms, UntilMs

CONVERSATION = "the conversation"
BROADCASTS = "@broadcasts"


class SessionChange(Change, kw_only=True):
    RECORD = "session"
    user: str
    device: str
    session_id: Annotated[str, Meta(pattern="^[0-9]+$", description="of login and logout the same")]


class SessionLogin(SessionChange, kw_only=True):
    """A device logged in."""

    KIND = "session.login"
    platform: Annotated[int, Meta(description="docs/PROTOCOL.md, 10")]


class SessionLogout(SessionChange, kw_only=True):
    """A session ended."""

    KIND = "session.logout"


class AccountChange(Change, kw_only=True):
    RECORD = "account"
    user: str


class AccountCreate(AccountChange, kw_only=True):
    """The application's server made it."""

    KIND = "account.create"


class AccountDelete(AccountChange, kw_only=True):
    """Nothing is done with it or in its name any more; what it has and said stays."""

    KIND = "account.delete"


class AccountRestore(AccountChange, kw_only=True):
    """A deletion was taken back."""

    KIND = "account.restore"


class AccountErased(Change, kw_only=True):
    """All that was theirs is gone: the receipt, as it is kept."""

    KIND = "account.erased"
    RECORD = None
    user: str
    erasure: Annotated[int, Meta(description="its number")]
    asked_ms: Ms
    done_ms: Ms
    erased: Annotated[dict[str, int], Meta(description="rows that went, by kind")]
    kept: Annotated[dict[str, str], Meta(description="what stays, and why, by kind")]
    sha256: Annotated[str, Meta(description="of the compact JSON of the others, in this order")] = ""


class AccountDisable(AccountChange, kw_only=True):
    """Nobody logs in under this account until then."""

    KIND = "account.disable"
    until_ms: UntilMs


class AccountMute(AccountChange, kw_only=True):
    """It sends nothing until then: to users, in groups, in chatrooms. null: that stays as it was."""

    KIND = "account.mute"
    mute_single_ms: UntilMs | None
    mute_group_ms: UntilMs | None
    mute_room_ms: UntilMs | None


class AccountShadow(AccountChange, kw_only=True):
    """What it sends is seen by nobody else until then."""

    KIND = "account.shadow"
    until_ms: UntilMs


class AccountProfile(AccountChange, kw_only=True):
    """Its profile was changed."""

    KIND = "account.profile"
    changes: Annotated[dict[str, object], Meta(description="what was set, by name")]


class AccountConsent(AccountChange, kw_only=True):
    """It said who may make it a friend or put it into a group; null: as the service says."""

    KIND = "account.consent"
    friend: str | UnsetType | None = UNSET
    group: str | UnsetType | None = UNSET


class RelationChange(Change, kw_only=True):
    RECORD = "relation"
    user: str
    other: str


class RelationRequest(RelationChange, kw_only=True):
    """`user` was asked by `other` to become friends."""

    KIND = "relation.request"
    text: str


class RelationRefuse(RelationChange, kw_only=True):
    """`user` refused the request of `other`."""

    KIND = "relation.refuse"


class RelationFriend(RelationChange, kw_only=True):
    """They are friends, both ways."""

    KIND = "relation.friend"


class RelationUnfriend(RelationChange, kw_only=True):
    """They are friends no more, both ways."""

    KIND = "relation.unfriend"


class RelationBlack(RelationChange, kw_only=True):
    """`user` put `other` on the own blacklist, or took them off."""

    KIND = "relation.black"
    on: bool


class RelationMute(RelationChange, kw_only=True):
    """`user` wants no pushes of what `other` sends, or wants them again."""

    KIND = "relation.mute"
    on: bool


class RelationAlias(RelationChange, kw_only=True):
    """What `user` calls `other`, and the application's text about them; null: as it was."""

    KIND = "relation.alias"
    alias: str | None
    ext: str | None


class ReceiptRead(Change, kw_only=True):
    """`user` has read the conversation up to here."""

    KIND = "receipt.read"
    RECORD = "receipt"
    SUBJECT = CONVERSATION
    user: str
    conversation: str
    seq: int


class ReceiptReport(Change, kw_only=True):
    """`user` has read these messages of a group."""

    KIND = "receipt.report"
    RECORD = "receipt"
    SUBJECT = CONVERSATION
    user: str
    conversation: str
    seqs: list[int]


class MessageReaction(Change, kw_only=True):
    """`user` put a quick comment (`kind`) on a message, or took it away."""

    KIND = "message.reaction"
    RECORD = "reaction"
    SUBJECT = CONVERSATION
    conversation: str
    seq: int
    user: str
    kind: str
    on: bool
    ext: str


class BroadcastBegin(Change, kw_only=True):
    """The application's server told everybody something. `platforms`: to whom, none: to all."""

    KIND = "broadcast.begin"
    RECORD = "broadcast"
    SUBJECT = BROADCASTS
    id: int
    type: int
    body: object
    platforms: list[int]
    expires_ms: Ms


class BroadcastEnd(Change, kw_only=True):
    """A broadcast was ended before its time."""

    KIND = "broadcast.end"
    RECORD = "broadcast"
    SUBJECT = BROADCASTS
    id: int


class ModerationVerdict(Change, kw_only=True):
    """Somebody, or `rule`, decided about a message of `user`."""

    KIND = "moderation.verdict"
    RECORD = "moderation"
    SUBJECT = CONVERSATION
    review: int
    about: Annotated[str, Meta(description="`held` or `reported`")]
    conversation: str
    seq: int
    server_id: Big
    user: str
    verdict: Annotated[str, Meta(description="`passed` or `refused`")]
    rule: str
    by: Annotated[By, Meta(description="who decided; empty: its time was over")]


KINDS: tuple[type[Change], ...] = (
    SessionLogin,
    SessionLogout,
    AccountCreate,
    AccountDelete,
    AccountRestore,
    AccountErased,
    AccountDisable,
    AccountMute,
    AccountShadow,
    AccountProfile,
    AccountConsent,
    RelationRequest,
    RelationRefuse,
    RelationFriend,
    RelationUnfriend,
    RelationBlack,
    RelationMute,
    RelationAlias,
    ReceiptRead,
    ReceiptReport,
    MessageReaction,
    BroadcastBegin,
    BroadcastEnd,
    ModerationVerdict,
)

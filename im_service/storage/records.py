"""Plain records that cross the storage doors. Times are milliseconds since 1970, ids are text, 0 is "none".

`payload` and `info` bytes belong to the service (msgpack); a store never looks inside. They stand in one file
though it is long: who writes an operation or an engine reads them as one page, and they hold no code.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

FOREVER: Final = 1 << 62
"""End time of a mute without end."""

# Option bits of a stored message. Only those that decide what a store shows or counts are here.
HISTORY: Final = 1
ROAM: Final = 2
PERSISTENT: Final = 4  # kept as offline copy
SENDER_SYNC: Final = 8  # the sender's other devices find it in offline and roaming reads
BADGE: Final = 16  # counts as unread
SESSION: Final = 32  # becomes the last message of the conversation list
SENDER_NO_SENSE: Final = 64  # invisible to the sender
RECEIVER_NO_SENSE: Final = 128  # invisible to everyone else (also: sent by somebody on the blacklist)
RECEIPT: Final = 256  # group message that asks for receipts
HELD: Final = 512  # waits for a verdict, or was refused: RECEIVER_NO_SENSE, and hidden from the server's eye
RELEASED: Final = 1024  # was held: shown to devices whatever they acknowledged meanwhile
DEFAULT_BITS: Final = HISTORY | ROAM | PERSISTENT | SENDER_SYNC | BADGE | SESSION

# Flags of a message as read (wire: Message.flags).
RECALLED: Final = 1
EDITED: Final = 2
FILTERED: Final = 4  # placeholder: the seq exists, this reader sees nothing of it


class Role(IntEnum):
    """Role in a group or room."""

    MEMBER = 0
    MANAGER = 1
    OWNER = 2
    RESTRICTED = 3  # rooms only


class Aim(NamedTuple):
    """Who of a group sees a message: only `users` (inclusive) or all but `users`."""

    users: tuple[str, ...]
    inclusive: bool
    new_joiners_see: bool  # what members who joined after the message see of it
    about: int = 0  # a notice: shown to those who may see this seq, to which the joiners' rule applies


class ReviewKind(IntEnum):
    """Why people look at a message."""

    HELD = 0
    REPORTED = 1


class Ruling(IntEnum):
    """Where a review stands."""

    OPEN = 0
    PASSED = 1
    REFUSED = 2
    GONE = 3  # recalled, deleted or expired before anybody decided


class Hold(NamedTuple):
    """What a message waits for that nobody but its sender sees yet."""

    until_ms: int  # then `lapse` is the verdict; 0 = for people only
    lapse: bool  # released at the end (True), or refused
    rule: str  # what held it: a list, an engine
    bits: int  # what its row has once it is released


class NewMessage(NamedTuple):
    """A message that passed every check and waits for its commit."""

    conversation: str  # s/<a>:<b>, g/<group> or r/<room>
    sender: str
    client_id: str
    digest: bytes  # of what the client sent, <= 32 bytes: same client_id with another digest is a conflict
    server_id: int
    time_ms: int
    type: int
    payload: bytes
    bits: int = DEFAULT_BITS
    expires_ms: int = 0  # visible until then whatever the class limits say; 0 = class limits only
    target: Aim | None = None
    hold: Hold | None = None  # with the bits HELD and RECEIVER_NO_SENSE


Notices = Sequence[NewMessage]
"""Messages that tell of a change, committed with it."""


class AppendStatus(IntEnum):
    NEW = 0
    DUPLICATE = 1  # committed earlier with the same digest: the earlier answer is given again
    CONFLICT = 2  # same (sender, client_id), other digest: nothing stored (wire code 417)
    MISSING = 3  # the group does not exist (any more): nothing stored


class AppendResult(NamedTuple):
    status: AppendStatus
    server_id: int
    seq: int
    time_ms: int


Done = Callable[[list[AppendResult] | BaseException], None]


class Request(NamedTuple):
    """A request to join, an invitation, or a friend request; `state` is the service's number, 0 = open."""

    id: int
    scope: str  # g/<group> or u/<user asked>
    kind: int
    user: str  # who would join / who asks
    by: str  # who asked or invited
    text: str
    state: int
    time_ms: int
    news: bool = True  # just opened: not the same that was open already


class Ask(NamedTuple):
    """Requests of one kind that are opened together with a change of their group."""

    kind: int
    users: Sequence[str]
    by: str
    text: str = ""
    pause_ms: int = 0
    """A refusal that is younger stands."""


class Applied(NamedTuple, Generic[T]):
    """Result of a change, and of the notice messages and requests committed in the same transaction."""

    value: T
    notices: Sequence[AppendResult] = ()
    requests: Sequence[Request] = ()


class StoredMessage(NamedTuple):
    conversation: str
    seq: int
    server_id: int
    time_ms: int
    sender: str
    client_id: str
    type: int
    payload: bytes  # latest version; what `recall` or `erase` left when RECALLED or FILTERED
    bits: int
    flags: int
    expires_ms: int
    target: Aim | None = None  # in the server's eye (`find`) only


class View(NamedTuple):
    """Which messages a read shows; the others come as FILTERED placeholders, so that no seq is missing.

    A message shows when, for one of `classes` = (option bit, not_before_ms), the bit is set and its time is
    not before not_before_ms. With `sync` the reader's own messages show only if SENDER_SYNC is set.
    """

    classes: tuple[tuple[int, int], ...]
    now_ms: int  # messages whose expires_ms has come are filtered
    sync: bool = False


class Audience(NamedTuple):
    """Who sees a message: present members of the group, or the two of a single chat."""

    users: list[str]  # not named when it is everybody in a group
    everybody: bool  # nobody present is left out


class Page(NamedTuple, Generic[T]):
    items: list[T]
    more: bool


class InboxRow(NamedTuple):
    """A conversation as one user (and device) sees it."""

    conversation: str
    last_seq: int
    read_seq: int
    min_seq: int  # nothing below exists for this user (cleared, joined later, expired)
    acked_seq: int  # delivery watermark of the asking device, 0 without device
    active: bool  # False: the user left or was removed from the group
    settings: bytes  # pin, do-not-disturb ...: the service's
    change: int


class WalkPlace(NamedTuple):
    """Where the walk over the conversations of somebody who has very many stands."""

    conv: int  # the last one looked at
    ceiling: int  # changes below it are what the walk tells


class ChangedPage(NamedTuple):
    rows: list[InboxRow]
    cursor: int  # pass to the next call
    more: bool
    place: WalkPlace | None = None  # pass it, too, with the cursor as it is


class ListedPage(NamedTuple):
    rows: list["ListedConversation"]
    below: int  # where the next part begins, 0 = there is none


class UnreadPage(NamedTuple):
    counts: dict[str, int]
    after: str  # the last conversation looked at
    more: bool


class ListedConversation(NamedTuple):
    """Where a conversation stands in a user's list."""

    conversation: str
    latest: int  # server id of the newest message that lifts it, 0 = none
    settings: bytes


class SessionRow(NamedTuple):
    """One line of the conversation list."""

    inbox: InboxRow
    last: StoredMessage | None  # latest visible message with SESSION set
    unread: int


class Mark(NamedTuple):
    """A watermark: everything up to seq, in this conversation."""

    conversation: str
    seq: int


class Revised(NamedTuple):
    """A recalled, edited or erased message. `changed` is False when it was so already (idempotent)."""

    before: StoredMessage
    changed: bool
    version: int


class Review(NamedTuple):
    """A message that people decide about, or have decided about."""

    id: int
    conversation: str
    seq: int
    sender: str  # empty: the message is there no more
    kind: ReviewKind
    state: Ruling
    bits: int  # what the row of a held one has once it is released
    rule: str
    reports: int
    time_ms: int
    until_ms: int  # 0 = no verdict comes by itself
    lapse: bool  # the verdict that comes then
    decided_ms: int
    decided_by: str  # empty: nobody, it came by itself
    assignee: str
    note: str


class ReviewRows(NamedTuple):
    items: list[Review]
    after: int  # the last one looked at
    more: bool


class SaidPage(NamedTuple):
    """Messages of one sender, as (conversation, seq, server id), and where the walk over them stands."""

    items: list[tuple[str, int, int]]
    conv: int
    seq: int
    more: bool


class Report(NamedTuple):
    user: str
    category: str
    text: str
    time_ms: int


class RuleVerdict(NamedTuple):
    """How often a rule's hits were passed or refused: by people, or by themselves (`lapsed`)."""

    rule: str
    state: Ruling
    lapsed: bool
    decisions: int


class Version(NamedTuple):
    version: int  # 0 = as sent
    editor: str
    time_ms: int
    payload: bytes


class Reaction(NamedTuple):
    seq: int
    user: str
    kind: str
    time_ms: int
    ext: str


class ReceiptCount(NamedTuple):
    seq: int
    read: int
    unread: int


class ReceiptList(NamedTuple):
    read: list[str]
    unread: list[str]


class Group(NamedTuple):
    group: str
    owner: str
    info: bytes
    member_limit: int
    member_count: int
    mute_all: bool
    rev: int  # grows with every change of the group or its members
    created_ms: int
    last_seq: int


class GroupMember(NamedTuple):
    group: str
    user: str
    role: Role
    nick: str
    ext: bytes
    muted_until_ms: int  # 0 = may speak, FOREVER = until lifted
    joined_ms: int
    joined_seq: int  # last seq of the group when this member came


Change = Callable[[bytes], bytes]
"""What a row holds (b"" in a new one) to what it shall hold; called within the transaction, maybe again."""


class Profile(NamedTuple):
    user: str
    info: bytes
    rev: int
    time_ms: int


class Relation(NamedTuple):
    """What `owner` holds about `other`. A row of all zeroes is what is known of strangers."""

    owner: str
    other: str
    friend: bool = False
    black: bool = False
    muted: bool = False
    alias: str = ""
    ext: bytes = b""
    time_ms: int = 0
    change: int = 0


class AccountStage(IntEnum):
    """What has become of an account. All but LIVE are disabled for ever."""

    LIVE = 0
    DELETED = 1
    ERASING = 2
    ERASED = 3


class NewAccount(NamedTuple):
    """An account that the application's server makes; `profile` b"" = nothing is said of it."""

    user: str
    profile: bytes


class AccountPage(NamedTuple):
    """Accounts and their places; `after`: where the next page begins."""

    items: "list[tuple[Account, int]]"
    after: int
    more: bool


class Account(NamedTuple):
    user: str
    known: bool  # False: never registered, never seen
    disabled_until_ms: int
    mute_single_ms: int  # may not send to single chats before this time
    mute_group_ms: int
    mute_room_ms: int
    info: bytes
    shadow_until_ms: int = 0  # what they say until then is for themselves alone
    state: int = 0  # of AccountStage
    created_ms: int = 0  # 0: somebody named it, the application's server did not make it


class Device(NamedTuple):
    user: str
    device: str
    platform: int
    session_id: int  # of the last login
    online: bool  # logged in and not yet logged out, as far as the store was told
    first_login_ms: int
    last_login_ms: int
    last_logout_ms: int
    info: bytes


class PushToken(NamedTuple):
    """Where a vendor takes pushes for a device."""

    user: str
    device: str
    vendor: str
    app: str
    token: str
    locale: str  # "" = nobody said
    time_ms: int  # when it was told last


class PushAddress(NamedTuple):
    """How a user is reached while away, and what they say of it."""

    tokens: tuple[PushToken, ...]
    rules: bytes


class NewLogin(NamedTuple):
    user: str
    device: str
    platform: int
    session_id: int
    info: bytes = b""


class Logout(NamedTuple):
    user: str
    device: str
    session_id: int


class Login(NamedTuple):
    """A login as it was taken, with what its session begins with."""

    device: Device
    is_new: bool  # first login of this device id: roaming applies
    others: list[Device]
    account: Account
    groups: list[str]


class Hearing(NamedTuple):
    """What an account may hear now, and what it may hear no more."""

    account: Account
    groups: list[str]
    left: list[str]
    """groups that it was in once"""


class Room(NamedTuple):
    room: str
    owner: str
    info: bytes  # attributes
    mute_all: bool
    closed: bool
    rev: int
    created_ms: int


class RoomMember(NamedTuple):
    """A named member of a room, or a guest the room remembers (muted, on its blacklist)."""

    room: str
    user: str
    role: Role
    named: bool
    black: bool
    muted_until_ms: int
    info: bytes


class TagMute(NamedTuple):
    tag: str
    until_ms: int


class QueueItem(NamedTuple):
    key: str
    value: str
    owner: str
    transient: bool  # removed when its owner leaves
    position: int


class Broadcast(NamedTuple):
    id: int
    payload: bytes
    platforms: int  # bit mask of platform numbers, 0 = all
    created_ms: int
    expires_ms: int


class Replay(NamedTuple):
    """What is known of a request and its key."""

    ticket: int  # > 0: nobody did it yet, and this caller may; 0: it was begun before
    status: int  # of the answer given before; 0 = still running
    body: bytes


class DeadLetter(NamedTuple):
    """An event that an endpoint of the copy did not take: where it lies in the log, not what it says."""

    endpoint: str
    event_id: str
    kind: str
    subject: str
    before: str  # a cursor: reading after it finds the event
    reason: str
    time_ms: int


class Limits(NamedTuple):
    """How long rows live, milliseconds since their time; 0 = for ever."""

    offline_ms: int
    roam_ms: int
    history_ms: int
    dedupe_ms: int = 86_400_000  # a row stays at least this long so that a repeated send finds it

"""Every limit of the service in one place: its unit, its bounds, its reason and what happens beyond it.

`ImSettings` is the section [im.service] of a server's settings; the text under a field is its page in
docs/OPERATIONS.md. Units stand in the names, else in `extra`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from im_service.push.settings import PushLimits
from im_service.push.texts import problem as text_problem
from im_service.rates import Rate

DAY_MS = 86_400_000
TAGS_PER_ROOM = 4
"""Tags that a member may be in a chatroom under."""
MOST_SLOW_S = 86_400
"""Between two messages of a member, where a group or chatroom is slow."""
LONGEST_MS = 36_500 * DAY_MS

FriendConsent = Literal["free", "ask", "nobody"]
GroupConsent = Literal["free", "friends", "ask", "nobody"]
Recorded = Literal[
    "account", "broadcast", "moderation", "reaction", "receipt", "relation", "room", "session", "unkept"
]
PlatformClass = Literal["mobile", "desktop", "web", "other"]


def _unit(name: str) -> dict[str, str]:
    return {"unit": name}


class Retention(Struct, kw_only=True, frozen=True):
    """How long the views of a conversation live; a message whose views are all over is removed."""

    offline_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 7 * DAY_MS
    """What waits for a device that was away: a week covers a holiday. 0: for ever. Beyond: no longer
    pulled."""
    roam_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 7 * DAY_MS
    """What a new device gets: as much as an old one that was away. 0: for ever. Beyond: only in the
    history."""
    history_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 365 * DAY_MS
    """What `history` answers: the store grows with it. 0: for ever. Beyond: removed."""
    roam_count: Annotated[int, Meta(ge=0, le=100_000, extra=_unit("messages of a conversation"))] = 100
    """What a new device gets of one conversation: a few screens. Beyond: only in the history."""


class EventCopy(Struct, kw_only=True, frozen=True):
    """The durable copy of events for the app's own servers (docs/EVENTS.md). Stored messages and the notices
    of groups, recalls and edits are read from the log itself and are always there."""

    record: tuple[Recorded, ...] = ()
    """What is written beside the log, a row for each: `session` (logins and logouts), `account` (disabled,
    muted, profile), `relation` (friends, blacklist), `room` (made, changed, closed, roles and mutes),
    `receipt` (read and receipts: many), `reaction`, `broadcast`, `moderation` (verdicts), `unkept` (messages
    that no view keeps: each then waits for its commit). Empty: nothing, and nothing is paid."""
    keep_ms: Annotated[int, Meta(ge=60_000, le=LONGEST_MS)] = 3 * DAY_MS
    """How long such a row is kept for readers that are behind: a weekend. Beyond: removed, and who was not
    there yet is told so."""
    keep_bytes: Annotated[int, Meta(ge=0, le=1 << 50)] = 1 << 30
    """What these rows may take: a reader that is gone must not fill the disk. 0: no limit. Beyond: the oldest
    are removed before their time, and who was not there yet is told so."""
    groups: Annotated[int, Meta(ge=1, le=10_000, extra=_unit("consumer groups"))] = 100
    """Consumer groups whose cursors are kept. Beyond: refused with 409."""


class LoginPolicy(Struct, kw_only=True, frozen=True):
    """Which devices of one user may be logged in side by side."""

    mode: Literal["one", "one_per_class", "newest", "exclusive"] = "newest"
    """`one`: a single device. `one_per_class`: one mobile and one desktop device, web counting as desktop.
    `newest`: the max_devices that logged in last. `exclusive`: all but the pairs in `exclusive`. A device
    that has no place is sent away with KICKED."""
    max_devices: Annotated[int, Meta(ge=1, le=1_000, extra=_unit("devices"))] = 10
    """For mode `newest`: more than people carry, few enough to deliver to. Beyond: the device that logged
    in first is sent away with KICKED."""
    exclusive: tuple[tuple[PlatformClass, PlatformClass], ...] = ()
    """For mode `exclusive`: pairs of classes of which one device excludes the other, as `[["mobile",
    "web"]]`; a class paired with itself admits one device."""


class ImSettings(Struct, kw_only=True, frozen=True):
    """Rules and limits of the message service. All have working defaults."""

    # rates
    account_rate: Rate = Rate(500, 2000)
    """Sends of one account over all its devices: people send one, bots hundreds."""
    device_rate: Rate = Rate(500, 2000)
    """Sends of one device; a new one begins with what the account's poorest has left."""
    conversation_rate: Rate = Rate(1000, 5000)
    """Sends into one group or chatroom, or from one user to another: nobody reads more."""
    room_sender_rate: Rate = Rate(5, 20)
    """Sends of one member into one chatroom, so that nobody takes all of what its members get. Owner,
    managers and the app server are not bound."""
    stranger_rate: Rate = Rate(0, 3)
    """Sends to people who are no friends of the sender, against advertising; off by default."""
    call_rate: Rate = Rate(200, 1000)
    """Calls of one device: a start makes dozens at once."""
    report_rate: Rate = Rate(0.1, 20)
    """Messages that one account reports to those who moderate: more than anybody reads by chance."""
    spread_rate: Rate = Rate(5000, 20_000)
    """Receivers that one account has served one by one: of group messages with `target`, or with
    `sendersync` off while it has other devices, of changes to messages that not all members see, and of
    invitations into groups."""

    # sending
    friend_only: bool = False
    """Single messages between friends only. Off: strangers may write. Beyond: refused with 403."""
    blacklist_answer: Annotated[int, Meta(ge=0, le=65_535, extra=_unit("code"))] = 7101
    """What a blacklisted sender is told. 0: as if it were delivered."""
    reply_bytes: Annotated[int, Meta(ge=1_024, le=60_000)] = 48 * 1024
    """What one answer carries, of messages or any other list: it fits a frame. Beyond: the next page."""

    # afterwards
    retention: Retention = Retention()
    copy: EventCopy = EventCopy()
    recall_window_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 120_000
    """How long a sender may recall a message: long enough for a slip. Beyond: refused."""
    recall_window_max_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 7 * DAY_MS
    """How long a message can be recalled at all: by managers of its group, by the app server, or on one
    side. Beyond: refused, except to an app server that says `ignore_window`."""
    edit_window_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = DAY_MS
    """How long a sender may edit a message. Beyond: refused."""
    edit_versions: Annotated[int, Meta(ge=0, le=100_000, extra=_unit("edits of a message"))] = 100
    """How often a message may be edited: each edit goes to everybody. 0: no limit. Beyond: refused."""
    reactions_per_user: Annotated[int, Meta(ge=0, le=100_000, extra=_unit("reactions of a message"))] = 20
    """Kinds of quick comment of one user on one message: each goes to everybody who sees it. 0: no limit.
    Beyond: refused with 409."""
    reactions_per_message: Annotated[int, Meta(ge=0, le=100_000, extra=_unit("reactions of a message"))] = (
        2000
    )
    """Quick comments that a message keeps: devices ask for all of them when they show it. 0: no limit.
    Beyond: refused with 409."""
    receipt_members: Annotated[int, Meta(ge=0, le=100_000, extra=_unit("members"))] = 500
    """Groups up to this size keep who has read what: a row for each reader of each message. Beyond: no
    receipts."""
    receipt_report: Annotated[int, Meta(ge=1, le=1_000, extra=_unit("messages of a call"))] = 50
    """Messages that one call reports as read: a screenful. Beyond: refused with 414."""
    receipt_flush_ms: Annotated[int, Meta(ge=1, le=60_000)] = 1000
    """Counts of readers go to the sender at most this often per message, however many read at once. Beyond:
    with the next ones."""
    expire_every_ms: Annotated[int, Meta(ge=10, le=86_400_000)] = 60_000
    """How often expired messages are looked for: they are invisible before they are removed. Beyond: the
    store is larger for so long."""
    expire_rows: Annotated[int, Meta(ge=1, le=100_000, extra=_unit("rows of a step"))] = 500
    """Rows removed in one step, so that sends do not wait for it. Beyond: the next step."""

    # moderation
    hold_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = DAY_MS
    """How long a message that is held waits for somebody's verdict: a day covers every shift. 0: for ever.
    Beyond: `hold_default` is the verdict."""
    hold_default: Literal["release", "refuse"] = "refuse"
    """What becomes of a held message that nobody decided about in time."""

    # groups and people
    group_members: Annotated[int, Meta(ge=1, le=100_000, extra=_unit("members"))] = 200
    """Limit of a group that names none: people still know each other. Beyond: joins are refused."""
    group_members_max: Annotated[int, Meta(ge=1, le=100_000, extra=_unit("members"))] = 5000
    """Largest limit a group may name: every change goes to all members. Beyond: refused."""
    groups_per_user: Annotated[int, Meta(ge=1, le=100_000, extra=_unit("groups"))] = 500
    """Groups one user may be in when making a new one; each is a topic of every login. Those that the user
    dismissed within a day count, too: what is said in them stays. Beyond: refused; the app server may."""
    relations_per_user: Annotated[int, Meta(ge=1, le=1_000_000, extra=_unit("users"))] = 3000
    """Users that are no friends of whom one user keeps something: an alias, on the blacklist, muted. Beyond:
    the oldest of those of whom there is nothing any more is forgotten, else refused with 409."""
    friends_max: Annotated[int, Meta(ge=1, le=1_000_000, extra=_unit("friends"))] = 3000
    """Friends of one user: what a client can show. Beyond: refused."""
    friend_consent: FriendConsent = "ask"
    """How somebody becomes a friend of an account that says nothing itself (`consent.set`). `free`: at once.
    `ask`: by accepting a request. `nobody`: not at all. The app server is not bound by it."""
    group_consent: GroupConsent = "ask"
    """How others bring such an account into a group. `free`: at once. `friends`: friends at once, others ask.
    `ask`: by accepting an invitation. `nobody`: not at all. The app server is not bound by it."""
    ask_again_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 7 * DAY_MS
    """How long somebody who refused a friend request, an invitation into a group or an application is left in
    peace. 0: may be asked again at once. The app server is not bound by it. Beyond: asked anew; before: 403,
    or `refused`."""
    login_policy: LoginPolicy = LoginPolicy()
    devices_per_user: Annotated[int, Meta(ge=1, le=10_000, extra=_unit("devices"))] = 100
    """Device ids of one user that the store remembers, with what each has acknowledged: more than anybody
    ever owned. Beyond: the one that logged in longest ago is forgotten, and new when it comes back."""

    push: PushLimits = PushLimits()

    # chatrooms
    room_normal_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 20
    """Messages of normal priority that a member gets of one chatroom, and as many at once: nobody can read
    more. The gateways hold to it, so give it to every process. 0: no limit. Beyond: dropped and counted."""
    room_high_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 10
    """The same for high priority, beside the normal ones. 0: no limit. Beyond: it takes the place of a normal
    one."""
    room_high_by_members: bool = False
    """Whether the `highPriority` of plain members counts. Off: that of owner, managers and the app server
    does; a member's message is of normal priority."""
    room_notices_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 20
    """Notices that a member gets of what others do in one chatroom (enter, exit, queue), and as many at once;
    as many again of what owner, managers and server decide. 0: no limit. Beyond: dropped and counted."""
    rooms_per_connection: Annotated[int, Meta(ge=1, le=500, extra=_unit("chatrooms"))] = 20
    """Chatrooms of one connection; nobody looks at more, and its topics are bounded. Beyond: a join is
    refused."""
    rooms_by_clients: bool = False
    """Clients may make chatrooms and own them. Off: the app server makes them, with or without an owner.
    Joining never makes one."""
    rooms_per_user: Annotated[int, Meta(ge=1, le=100_000, extra=_unit("chatrooms"))] = 20
    """Chatrooms that a user who makes them owns: those that are open, and all of the last day, so that
    ids are not taken without end. Beyond: refused; the app server may."""
    room_ring: Annotated[int, Meta(ge=0, le=200, extra=_unit("messages"))] = 50
    """Recent messages that a chatroom may keep in memory for newcomers. Beyond: the oldest goes."""
    room_notice_members: Annotated[int, Meta(ge=0, le=1_000_000, extra=_unit("people online"))] = 200
    """Chatrooms up to this size tell who enters and leaves. Beyond: no notices, nobody reads them."""
    room_queue: Annotated[int, Meta(ge=1, le=100_000, extra=_unit("elements"))] = 1000
    """Elements of a chatroom's queue. Beyond: refused."""
    room_grace_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 10_000
    """How long transient queue elements outlive the connection of their owner, who may be changing networks.
    Beyond: they are taken away. Whoever leaves or is put out takes them along at once."""
    room_muted_tags: Annotated[int, Meta(ge=1, le=10_000, extra=_unit("tags"))] = 100
    """Tags that are muted in one chatroom at a time: every message is held against them. Beyond: refused; the
    app server may."""
    room_attributes_bytes: Annotated[int, Meta(ge=0, le=49_152)] = 4096
    """Attributes of a chatroom, which every newcomer gets. Beyond: refused."""

    # presence
    presence_per_call: Annotated[int, Meta(ge=1, le=10_000, extra=_unit("users of a call"))] = 100
    """Users that one call subscribes to: a screenful. Beyond: refused with 414."""
    presence_subscriptions: Annotated[int, Meta(ge=1, le=1_000_000, extra=_unit("users"))] = 3000
    """Users that one user watches: as many as friends. Beyond: the oldest subscription ends."""
    presence_min_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 60_000
    """Shortest life of a subscription, so that clients do not ask every second. Beyond: it lasts this
    long."""
    presence_max_ms: Annotated[int, Meta(ge=1, le=LONGEST_MS)] = 30 * DAY_MS
    """Longest life of a subscription: those of lost devices end. Beyond: it ends then."""
    presence_grace_ms: Annotated[int, Meta(ge=0, le=LONGEST_MS)] = 60_000
    """How long subscriptions outlive the last session of their user: a phone that changes networks is back
    within seconds. Beyond: they end."""

    presence_moment_ms: Annotated[int, Meta(ge=0, le=60_000)] = 1000
    """How long a session may be without its connection before those who watch its user hear of it: a phone
    that goes from one mast to the next was there all the time. Beyond: they hear that it went."""

    def problems(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """What bounds of single keys do not say: ((the key, others it hangs on), reason)."""
        if self.recall_window_ms > self.recall_window_max_ms:
            yield ("recall_window_ms", "recall_window_max_ms"), "must not be above recall_window_max_ms"
        if self.group_members > self.group_members_max:
            yield ("group_members", "group_members_max"), "must not be above group_members_max"
        if self.login_policy.max_devices > self.devices_per_user:
            yield ("devices_per_user", "login_policy"), "must not be below login_policy.max_devices"
        if self.presence_min_ms > self.presence_max_ms:
            yield ("presence_min_ms", "presence_max_ms"), "must not be above presence_max_ms"
        if trouble := text_problem(self.push.texts):
            yield ("push.texts",), trouble

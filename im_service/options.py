"""Message options: the set a sender may give, what contradicts what, and the view bits they resolve to.

The exact effect of every option stands in docs/MESSAGES.md as a table from which tests are made. Here an
option set becomes one integer of view bits, stored with the row, and every reader cuts its view of the log
with these bits.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from im_service.errors import UNDECODABLE, Code, ImError
from im_service.faults import told
from im_service.ids import GROUP, ID, ROOM, SINGLE
from im_service.storage.records import (
    BADGE,
    HISTORY,
    PERSISTENT,
    RECEIPT,
    RECEIVER_NO_SENSE,
    ROAM,
    SENDER_NO_SENSE,
    SENDER_SYNC,
    SESSION,
    Aim,
)

# Bits the store knows (see storage/records.py) and, above them, those only this service reads.
PUSH: Final = 1 << 16  # vendor push to absent receivers
ROUTE: Final = 1 << 17  # copied to third parties
TARGETED: Final = 1 << 18  # a target list cuts the receivers
CONTROL: Final = 1 << 19  # speaks about other messages (recall, edit, deletion): applied, not shown
BY_SERVER: Final = 1 << 20  # sent by the application's server: no engine looks at it
STORED: Final = PERSISTENT | ROAM | HISTORY
DEFAULT_BITS: Final = STORED | BADGE | SESSION | SENDER_SYNC | PUSH | ROUTE
CONTROL_BITS: Final = PERSISTENT | ROAM | SENDER_SYNC | CONTROL
"""Recall, edit, deletion: every device must learn them; nobody counts, lifts or pushes them."""
NOTICE_BITS: Final = STORED | SESSION | SENDER_SYNC | ROUTE
"""Group notifications: shown and kept like messages, never unread, never pushed."""

MAX_PUSH_TEXT = 500
MAX_PUSH_PAYLOAD = 2048
MAX_FORCE = 100
MAX_TARGETS = 500
MAX_EXPIRE_S = 30 * 86_400

Flag = bool | UnsetType
Names = Annotated[list[str], Meta(min_length=1, max_length=MAX_TARGETS)]


class ForcePush(
    Struct, forbid_unknown_fields=True, omit_defaults=True, rename={"everybody": "all", "users": "list"}
):
    """Push that overrides the receiver's mute: everybody, or a list of at most 100, with its own text."""

    everybody: bool = False
    users: Annotated[list[str], Meta(max_length=MAX_FORCE)] = []
    content: Annotated[str, Meta(max_length=MAX_PUSH_TEXT)] | None = None


class Target(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The members of a group who see a message (`inclusive`) or who do not."""

    ids: Names
    inclusive: bool = True
    newJoinersSee: bool = False


class Options(Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """What a sender may say about one message. Unset means the default of docs/MESSAGES.md."""

    history: Flag = UNSET
    roam: Flag = UNSET
    persistent: Flag = UNSET
    sendersync: Flag = UNSET
    push: Flag = UNSET
    badge: Flag = UNSET
    needPushNick: Flag = UNSET
    route: Flag = UNSET
    env: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    sessionUpdate: Flag = UNSET
    checkFriend: Flag = UNSET
    pushContent: Annotated[str, Meta(max_length=MAX_PUSH_TEXT)] | UnsetType = UNSET
    payload: Annotated[str, Meta(max_length=MAX_PUSH_PAYLOAD)] | UnsetType = UNSET
    forcePush: ForcePush | UnsetType = UNSET
    target: Target | UnsetType = UNSET
    senderNoSense: Flag = UNSET
    receiverNoSense: Flag = UNSET
    onlineOnly: Flag = UNSET
    expire: Annotated[int, Meta(ge=1, le=MAX_EXPIRE_S)] | UnsetType = UNSET
    receipt: Flag = UNSET
    antispam: dict[str, str | int | bool] | UnsetType = UNSET
    highPriority: Flag = UNSET
    abandonRatio: Annotated[int, Meta(ge=0, le=9999)] | UnsetType = UNSET
    skipHistory: Flag = UNSET
    tag: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET

    @property
    def shown(self) -> tuple[str, ...]:
        """The texts among them that receivers see, on a phone that is away too."""
        force = self.forcePush
        texts = (self.pushContent, self.payload, UNSET if force is UNSET else force.content)
        return tuple(text for text in texts if isinstance(text, str))


DEFAULTS_TRUE = ("history", "roam", "persistent", "sendersync", "push", "badge", "route", "sessionUpdate")
DEFAULTS_FALSE = (
    "checkFriend",
    "senderNoSense",
    "receiverNoSense",
    "onlineOnly",
    "receipt",
    "highPriority",
    "skipHistory",
)
ROOM_ONLY = ("highPriority", "abandonRatio", "skipHistory", "tag")
NOT_IN_ROOMS = (
    "roam",
    "persistent",
    "sendersync",
    "push",
    "badge",
    "needPushNick",
    "sessionUpdate",
    "checkFriend",
    "pushContent",
    "payload",
    "forcePush",
    "target",
    "senderNoSense",
    "receiverNoSense",
    "onlineOnly",
    "expire",
    "receipt",
)
BIT_OF = {
    "history": HISTORY,
    "roam": ROAM,
    "persistent": PERSISTENT,
    "sendersync": SENDER_SYNC,
    "push": PUSH,
    "badge": BADGE,
    "route": ROUTE,
    "sessionUpdate": SESSION,
}

NO_OPTIONS = msgspec.msgpack.encode({})


class Resolved(NamedTuple):
    """An option set ready for the pipeline. `wire` is the map of non-default options receivers get."""

    bits: int
    options: Options
    wire: bytes
    expire_ms: int
    target: Aim | None
    plain: bool  # nothing but view bits: no target, friend check, push text or room option


DEFAULT = Resolved(DEFAULT_BITS, Options(), NO_OPTIONS, 0, None, True)
_decoder = msgspec.msgpack.Decoder(Options)
_encoder = msgspec.msgpack.Encoder()
_TRUE = 'contradiction: "{}" is true but {}'


def _refuse(text: str) -> None:
    raise ImError(Code.INVALID, text)


def _contradictions(o: Options, kind: str) -> None:
    """Refuse with 414 what cannot be meant; the text names both sides."""
    stored = (o.history, o.roam, o.persistent)
    if kind == ROOM:
        for name in NOT_IN_ROOMS:
            if getattr(o, name) is not UNSET:
                _refuse(f'option "{name}" has no meaning in a chatroom')
        if o.highPriority is True and o.abandonRatio is not UNSET:
            _refuse(_TRUE.format("highPriority", "abandonRatio asks to drop it"))
        return
    for name in ROOM_ONLY:
        if getattr(o, name) is not UNSET:
            _refuse(f'option "{name}" is for chatrooms only')
    if o.onlineOnly is True:
        for name in ("history", "roam", "persistent", "push", "badge", "sessionUpdate", "receipt"):
            if getattr(o, name) is True:
                _refuse(_TRUE.format("onlineOnly", f'"{name}" is true too'))
        for name in ("expire", "forcePush", "pushContent", "payload"):
            if getattr(o, name) is not UNSET:
                _refuse(_TRUE.format("onlineOnly", f'"{name}" is given'))
    nothing_kept = o.onlineOnly is True or all(flag is False for flag in stored)
    if nothing_kept:
        for name in ("badge", "sessionUpdate", "receipt"):
            if getattr(o, name) is True:
                _refuse(
                    _TRUE.format(name, "history, roam and persistent are all false: there is nothing to keep")
                )
        if o.expire is not UNSET:
            _refuse('contradiction: "expire" is given but nothing is kept')
    if o.push is False:
        for name in ("forcePush", "pushContent", "payload"):
            if getattr(o, name) is not UNSET:
                _refuse(f'contradiction: "{name}" is given but "push" is false')
        if o.needPushNick is True:
            _refuse(_TRUE.format("needPushNick", '"push" is false'))
    if o.route is False and o.env is not UNSET:
        _refuse('contradiction: "env" is given but "route" is false')
    _sides(o)
    _lists(o, kind)


def _sides(o: Options) -> None:
    if o.senderNoSense is True and o.receiverNoSense is True:
        _refuse(
            'contradiction: "senderNoSense" and "receiverNoSense" leave a trace nowhere; use "onlineOnly"'
        )
    if o.senderNoSense is True and o.sendersync is True:
        _refuse(_TRUE.format("senderNoSense", '"sendersync" is true too'))
    if o.receiverNoSense is True:
        for name in ("push", "badge", "receipt"):
            if getattr(o, name) is True:
                _refuse(_TRUE.format("receiverNoSense", f'"{name}" is true too'))
        for name in ("forcePush", "pushContent", "payload"):
            if getattr(o, name) is not UNSET:
                _refuse(_TRUE.format("receiverNoSense", f'"{name}" is given'))


def _lists(o: Options, kind: str) -> None:
    if o.target is not UNSET and kind != GROUP:
        _refuse('option "target" is for groups only')
    if o.receipt is True and kind != GROUP:
        _refuse('option "receipt" is for groups only; single chats have the read watermark')
    if o.checkFriend is True and kind != SINGLE:
        _refuse('option "checkFriend" is for single chats only')
    if o.forcePush is not UNSET:
        force = o.forcePush
        if force.everybody and force.users:
            _refuse('contradiction: "forcePush.all" and "forcePush.list" exclude each other')
        if not force.everybody and not force.users:
            _refuse('"forcePush" needs "all" or "list"')
    names = [] if o.target is UNSET else list(o.target.ids)
    if o.forcePush is not UNSET:
        names += o.forcePush.users
    if any(ID.match(name) is None for name in names):
        _refuse("an id in a list does not follow the grammar")
    if o.payload is not UNSET:
        try:
            parsed = msgspec.json.decode(o.payload)
        except (ValueError, *UNDECODABLE):  # half a surrogate pair, a number without end
            parsed = None
        if not isinstance(parsed, dict):
            _refuse('"payload" must be the text of a JSON object')


def resolve(o: Options, kind: str) -> Resolved:
    """Check one option set for a kind of conversation and cut it into view bits. Raises 414."""
    _contradictions(o, kind)
    bits = DEFAULT_BITS
    for name, bit in BIT_OF.items():
        if getattr(o, name) is False:
            bits &= ~bit
    if o.onlineOnly is True:
        bits &= ~(STORED | PUSH)
    if not bits & STORED:
        bits &= ~(BADGE | SESSION)
    if o.senderNoSense is True:
        bits = (bits | SENDER_NO_SENSE) & ~SENDER_SYNC
    if o.receiverNoSense is True:
        bits = (bits | RECEIVER_NO_SENSE) & ~(BADGE | PUSH)
    if o.receipt is True:
        bits |= RECEIPT
    target = None
    if o.target is not UNSET:
        bits |= TARGETED
        target = Aim(tuple(dict.fromkeys(o.target.ids)), o.target.inclusive, o.target.newJoinersSee)
    changes: dict[str, UnsetType] = {name: UNSET for name in DEFAULTS_TRUE if getattr(o, name) is True}
    changes.update({name: UNSET for name in DEFAULTS_FALSE if getattr(o, name) is False})
    if o.abandonRatio == 0:
        changes["abandonRatio"] = UNSET
    if changes:
        o = msgspec.structs.replace(o, **changes)
    special = (
        o.target,
        o.checkFriend,
        o.pushContent,
        o.payload,
        o.forcePush,
        o.needPushNick,
        o.env,
        o.antispam,
        o.highPriority,
        o.abandonRatio,
        o.skipHistory,
        o.tag,
    )
    expire_ms = 0 if o.expire is UNSET else o.expire * 1000
    plain = target is None and all(value is UNSET for value in special)
    return Resolved(bits, o, _encoder.encode(o), expire_ms, target, plain)


MAX_REMEMBERED = 512
MAX_REMEMBERED_BYTES = 96


class OptionTable:
    """Remembers how option maps resolved, by their bytes: senders use a handful of sets all day.

    At most 512 sets of at most 96 bytes; when it is full it starts again.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str], Resolved] = {}

    def resolve(self, raw: bytes, kind: str) -> Resolved:
        """Resolve an encoded option map (or nil). Raises ImError 414, or 400 when it is no option map."""
        key = (raw, kind)
        found = self._known.get(key)
        if found is not None:
            return found
        if raw == b"\xc0":
            return DEFAULT
        try:
            options = _decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise ImError(Code.INVALID, f"options: {told(error, Options)}") from None
        except UNDECODABLE:
            raise ImError(Code.MALFORMED, "options are not a msgpack map") from None
        resolved = resolve(options, kind)
        if len(raw) <= MAX_REMEMBERED_BYTES:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = resolved
        return resolved

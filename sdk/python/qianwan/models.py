"""What applications send and receive: messages, their bodies and options, acknowledgements, notices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from qianwan.constants import SINGLE_PREFIX, USER_PREFIX, MessageFlag, MessageType


class Message(msgspec.Struct, array_like=True, frozen=True):
    """One message as the server tells it (docs/PROTOCOL.md, "Message").

    `seq` is the gapless position in the conversation, 0 for messages that are not stored (chatrooms,
    online-only).
    `time_ms` is the server's clock at commit. `options` holds only what differs from the defaults.
    """

    conversation: str
    seq: int
    server_id: int
    time_ms: int
    sender: str
    client_id: str
    type: int
    body: Any
    options: dict[str, Any] | None = None
    ext: str | None = None
    flags: int = 0

    @property
    def text(self) -> str:
        """The text of a text or tip message, "" for every other kind."""
        value = self.body.get("text") if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""

    @property
    def event(self) -> str:
        """What a notification tells of ("recall", "edit", "release", "delete", "group.join" ...), "" for
        every other kind."""
        if self.type != MessageType.NOTIFICATION or not isinstance(self.body, dict):
            return ""
        return str(self.body.get("event", ""))

    def deletes(self, user: str) -> tuple[int, ...]:
        """Numbers of this conversation that are gone for `user`, if this is the notice of a deletion."""
        if self.event != "delete" or self.body.get("keeps") == user:
            return ()
        return tuple(self.body.get("seqs", ()))

    @property
    def recalled(self) -> bool:
        return bool(self.flags & MessageFlag.RECALLED)

    @property
    def edited(self) -> bool:
        return bool(self.flags & MessageFlag.EDITED)

    @property
    def hidden(self) -> bool:
        """A placeholder that only fills the sequence; never handed to applications."""
        return bool(self.flags & MessageFlag.FILTERED)


class Ack(NamedTuple):
    """The server has committed the message."""

    server_id: int
    seq: int
    time: int


class Notice(NamedTuple):
    """A named event that is not a message: recall, receipt, membership and relation changes, presence."""

    name: str
    data: Mapping[str, Any]


class Content(NamedTuple):
    """A message body with its type; built by the functions below."""

    type: int
    body: Mapping[str, Any]


def _content(kind: int, **fields: Any) -> Content:
    return Content(kind, {name: value for name, value in fields.items() if value is not None})


def text(value: str) -> Content:
    return _content(MessageType.TEXT, text=value)


def tip(value: str) -> Content:
    return _content(MessageType.TIP, text=value)


def image(
    url: str,
    *,
    size: int | None = None,
    width: int | None = None,
    height: int | None = None,
    digest: str | None = None,
    name: str | None = None,
) -> Content:
    """A picture by URL; size in bytes, width and height in pixels."""
    return _content(
        MessageType.IMAGE, url=url, size=size, width=width, height=height, digest=digest, name=name
    )


def audio(url: str, *, duration_ms: int, size: int | None = None, digest: str | None = None) -> Content:
    return _content(MessageType.AUDIO, url=url, duration_ms=duration_ms, size=size, digest=digest)


def video(
    url: str,
    *,
    duration_ms: int,
    size: int | None = None,
    width: int | None = None,
    height: int | None = None,
    cover: str | None = None,
    digest: str | None = None,
) -> Content:
    """A film by URL; `cover` is the URL of a still picture."""
    return _content(
        MessageType.VIDEO,
        url=url,
        duration_ms=duration_ms,
        size=size,
        width=width,
        height=height,
        cover=cover,
        digest=digest,
    )


def location(latitude: float, longitude: float, title: str | None = None) -> Content:
    """A place in degrees, WGS 84."""
    return _content(MessageType.LOCATION, latitude=latitude, longitude=longitude, title=title)


def file(url: str, *, name: str, size: int | None = None, digest: str | None = None) -> Content:
    return _content(MessageType.FILE, url=url, name=name, size=size, digest=digest)


def custom(sub_type: int, data: Any) -> Content:
    """Whatever the application agreed on under its number `sub_type`."""
    return _content(MessageType.CUSTOM, sub_type=sub_type, data=data)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What happens to a message beside live delivery; None leaves the server's default. See docs/MESSAGES.md.

    The names are the protocol's own. `expire` counts seconds, `payload` is the text of a JSON object.
    """

    history: bool | None = None
    roam: bool | None = None
    persistent: bool | None = None
    sendersync: bool | None = None
    push: bool | None = None
    badge: bool | None = None
    needPushNick: bool | None = None
    route: bool | None = None
    env: str | None = None
    sessionUpdate: bool | None = None
    checkFriend: bool | None = None
    pushContent: str | None = None
    payload: str | None = None
    forcePush: Mapping[str, Any] | None = None
    target: Mapping[str, Any] | None = None
    senderNoSense: bool | None = None
    receiverNoSense: bool | None = None
    onlineOnly: bool | None = None
    expire: int | None = None
    receipt: bool | None = None
    antispam: Mapping[str, Any] | None = None
    highPriority: bool | None = None
    abandonRatio: int | None = None
    skipHistory: bool | None = None
    tag: str | None = None

    def to_map(self) -> dict[str, Any] | None:
        chosen = {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return chosen or None


class ConversationState(msgspec.Struct, array_like=True, frozen=True):
    """One row of `sync`: sequence numbers of a conversation (docs/PROTOCOL.md, "Calls")."""

    conversation: str
    last_seq: int = 0
    read_seq: int = 0
    min_seq: int = 0
    acked_seq: int = 0
    active: bool = True


_message = msgspec.msgpack.Decoder(Message)
decode_message = _message.decode


def message_from(value: Sequence[Any]) -> Message:
    """A message out of an already decoded array (rows of `pull`)."""
    return msgspec.convert(value, Message)


def single_conversation(a: str, b: str) -> str:
    """The conversation of two users: ids ordered bytewise."""
    first, second = sorted((a, b), key=str.encode)
    return f"{SINGLE_PREFIX}{first}:{second}"


def conversation_of(me: str, target: str) -> str:
    """The conversation a target (`u/..`, `g/..`, `r/..`) means to user `me`."""
    return single_conversation(me, target[2:]) if target.startswith(USER_PREFIX) else target

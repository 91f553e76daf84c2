"""What a stored row looks like to other systems: kind, subject and data of its event."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from frame.constants import GROUP_PREFIX, ROOM_PREFIX, MessageType
from im_service.ids import RESERVED, split_single
from im_service.models import Message, decode_message, plain, stored_bytes
from im_service.options import CONTROL, ROUTE
from im_service.outbox.ports import Event
from im_service.routing import env_of, of_options, options_of
from im_service.storage.event_records import EventRow, LogRow
from im_service.storage.records import EDITED, FILTERED, HELD, RECALLED, RECEIVER_NO_SENSE, Aim, StoredMessage

MESSAGE_KINDS = {ROOM_PREFIX: "message.room", GROUP_PREFIX: "message.group"}
SINGLE = "message.single"
NOTIFICATION = int(MessageType.NOTIFICATION)
_decode = msgspec.json.Decoder(dict[str, object]).decode


def of_message(row: LogRow, cursor: str) -> Event | None:
    """None: its options keep it from being copied, or it is hidden until somebody decides about it."""
    if row.bits & HELD:
        return None
    if row.flags & FILTERED:
        if not row.bits & ROUTE:
            return None
        return Event(
            str(row.server_id),
            message_kind(row.conversation),
            row.time_ms,
            row.conversation,
            env_of(options_of(row.payload)),
            {**_head(row.conversation, row.seq, row.server_id, row.time_ms), "erased": True},
            cursor,
        )
    message = decode_message(stored_bytes(StoredMessage(*row[1:])))
    if row.type == NOTIFICATION and row.client_id == f"n{row.server_id}" and isinstance(message.body, dict):
        return _notice(row, message.options, message.body, cursor)
    if not row.bits & ROUTE:
        return None
    data = message_data(message)
    if row.flags & RECALLED:
        data["recalled"] = True
    if row.flags & EDITED:
        data["edited"] = True
    if row.bits & RECEIVER_NO_SENSE:
        data["to_sender_only"] = True
    if row.target is not None:
        data["target"] = _aim(row.target)
    return Event(
        str(row.server_id),
        message_kind(row.conversation),
        row.time_ms,
        row.conversation,
        env_of(message.options),
        data,
        cursor,
    )


def of_event(row: EventRow, cursor: str) -> Event | None:
    if row.kind.startswith(RESERVED):  # stands for a message that is there no more
        return None
    return Event(
        str(row.server_id), row.kind, row.time_ms, row.subject, row.env or None, _decode(row.data), cursor
    )


def message_kind(conversation: str) -> str:
    return MESSAGE_KINDS.get(conversation[:2], SINGLE)


def message_data(message: Message) -> dict[str, object]:
    """A message in JSON; `to` where one user is written to."""
    data = _head(message.conversation, message.seq, message.server_id, message.time_ms)
    data["from"] = message.sender
    if message_kind(message.conversation) == SINGLE:
        a, b = split_single(message.conversation)
        data["to"] = b if message.sender == a else a
    data["client_id"] = message.client_id
    data["type"] = message.type
    data["body"] = plain(message.body)
    if message.options:
        data["options"] = plain(message.options)
    if message.ext is not None:
        data["ext"] = message.ext
    return data


def _head(conversation: str, seq: int, server_id: int, time_ms: int) -> dict[str, object]:
    """Ids of 64 bits are text: JavaScript would round them."""
    return {"conversation": conversation, "seq": seq, "server_id": str(server_id), "time_ms": time_ms}


def _notice(
    row: LogRow, options: Mapping[str, object], body: Mapping[str, object], cursor: str
) -> Event | None:
    """A message that the service wrote: of a group, or about other messages, which goes where they went."""
    where = of_options(options)
    if not where.route:
        return None
    name = str(body.get("event", "notice"))
    data = _head(row.conversation, row.seq, row.server_id, row.time_ms)
    data["from"] = row.sender
    data["notice"] = {
        key: str(value) if key == "server_id" else plain(value)
        for key, value in body.items()
        if key != "event"
    }
    if row.target is not None:
        data["target"] = _aim(row.target)
    kind = f"message.{name}" if row.bits & CONTROL else name
    return Event(str(row.server_id), kind, row.time_ms, row.conversation, where.env or None, data, cursor)


def _aim(aim: Aim) -> dict[str, object]:
    return {"users": list(aim.users), "inclusive": aim.inclusive}

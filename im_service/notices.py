"""Messages the service writes itself: recalls, edits, group events. They lie in the log like any message.

A notice is committed in the transaction of the change it tells of (the store takes both), so a device that
was away meets it in order when it pulls. Its body is {"event": name, ...}, its type 5. Notices of a recall,
an edit or a deletion speak about messages and are shown to those whom it concerns (`about`, `private`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from frame.constants import GROUP_PREFIX, MAX_BODY, USER_PREFIX, FrameType, MessageType
from im_service.ids import ServerIds
from im_service.models import Data, encode, message_bytes, notice_event, pack_payload
from im_service.options import CONTROL, CONTROL_BITS, NOTICE_BITS
from im_service.ports import ERASES, NORMAL, Clock, Downlink, Session
from im_service.routing import EVERYWHERE, Routing, of_message
from im_service.spread import Spread
from im_service.storage.records import (
    RECEIVER_NO_SENSE,
    SENDER_NO_SENSE,
    Aim,
    AppendResult,
    AppendStatus,
    NewMessage,
    StoredMessage,
)

MSG = int(FrameType.MSG)
EVENT = int(FrameType.EVENT)
NOTIFICATION = int(MessageType.NOTIFICATION)
MAX_EVENT = MAX_BODY - 64
"""Bytes of an event: a frame's body without its head."""
_log = logging.getLogger("qianwan.im")
EVERYBODY = Aim((), False, True)
DELETE = "delete"
"""Event of the notice of a deletion; its `seqs` are gone, except for the user it says `keeps` them."""
SYSTEM = "@system"
"""Sender of what no user did."""


class Note(NamedTuple):
    """A notice row and the topics that hear it."""

    row: NewMessage
    topics: tuple[str, ...]


class Announcer:
    """Builds notice rows and publishes them after their commit; also sends plain events."""

    def __init__(self, clock: Clock, ids: ServerIds, downlink: Downlink, spread: Spread) -> None:
        self._clock = clock
        self._ids = ids
        self.downlink = downlink
        self._spread = spread

    def _row(
        self,
        conversation: str,
        sender: str,
        event: str,
        data: Mapping[str, object],
        bits: int,
        target: Aim | None = None,
        where: Routing = EVERYWHERE,
    ) -> NewMessage:
        now = self._clock.now_ms()
        server_id = self._ids.next(now)
        payload = pack_payload(encode({"event": event, **data}), where.options())
        return NewMessage(
            conversation, sender, f"n{server_id}", b"", server_id, now, NOTIFICATION, payload, bits, 0, target
        )

    def about(
        self, message: StoredMessage, event: str, data: Mapping[str, object], topics: tuple[str, ...]
    ) -> Note:
        """A notice about a stored message, visible to exactly those who see the message.

        It counts as written by the message's sender; `data` says who acted. `topics`: who sees it now.
        """
        sides = message.bits & (SENDER_NO_SENSE | RECEIVER_NO_SENSE)
        target = (message.target or EVERYBODY)._replace(about=message.seq)
        bits, where = CONTROL_BITS | sides, of_message(message.bits, message.payload)
        return Note(self._row(message.conversation, message.sender, event, data, bits, target, where), topics)

    def gone(
        self, conversation: str, sender: str, seqs: Sequence[int], topics: tuple[str, ...], where: Routing
    ) -> Note:
        """A notice that messages of one sender, all copied to `where`, are there no more, for whoever may see
        the last of them."""
        target = EVERYBODY._replace(about=max(seqs))
        row = self._row(conversation, sender, DELETE, {"seqs": list(seqs)}, CONTROL_BITS, target, where)
        return Note(row, topics)

    def private(
        self, user: str, conversation: str, event: str, data: Mapping[str, object], where: Routing
    ) -> Note:
        """A notice only this user's devices see, of what became of messages, all copied to `where`."""
        row = self._row(conversation, user, event, data, CONTROL_BITS, Aim((user,), True, False), where)
        return Note(row, (USER_PREFIX + user,))

    def group(self, group: str, actor: str, event: str, data: Mapping[str, object]) -> Note:
        """A notice all members of a group see."""
        conversation = GROUP_PREFIX + group
        row = self._row(conversation, actor or SYSTEM, event, {"by": actor or SYSTEM, **data}, NOTICE_BITS)
        return Note(row, (conversation,))

    def publish(self, notes: Sequence[Note], results: Sequence[AppendResult]) -> None:
        """Live delivery of committed notices."""
        for note, result in zip(notes, results, strict=False):
            if result.status != AppendStatus.NEW:
                continue
            row = note.row
            message = message_bytes(
                row.conversation,
                result.seq,
                result.server_id,
                result.time_ms,
                row.sender,
                row.client_id,
                row.type,
                row.payload,
            )
            self._spread.publish(note.topics, MSG, message, ERASES if row.bits & CONTROL else NORMAL)

    def event(
        self,
        topic: str,
        name: str,
        data: Data,
        exclude: Session | None = None,
        priority: int = NORMAL,
    ) -> None:
        """A droppable EVENT to a topic. One that no frame takes is dropped: what it tells of can be asked
        for."""
        self.events((topic,), name, data, exclude, priority)

    def events(
        self,
        topics: Sequence[str],
        name: str,
        data: Data,
        exclude: Session | None = None,
        priority: int = NORMAL,
    ) -> None:
        """The same to each of these topics."""
        body = notice_event(name, data)
        if len(body) > MAX_EVENT:
            _log.warning("event %s has %d bytes and is not sent", name, len(body))
            return
        self._spread.publish(topics, EVENT, body, priority, exclude)

    def mine(
        self, user: str, name: str, data: Data, exclude: Session | None = None, priority: int = NORMAL
    ) -> None:
        """An EVENT to all devices of a user but the one that asked."""
        self.event(USER_PREFIX + user, name, data, exclude, priority)


def rows(notes: Sequence[Note]) -> list[NewMessage]:
    """What the store gets."""
    return [note.row for note in notes]

"""What follows from a verdict that comes later: a held message is released or stays hidden, one that
everybody has is recalled.

A release is told by a notice in the log, like an edit: `{"event": "release", seq, ...}`, seen by those who
see the message, whose devices have passed its seq as a placeholder. Its sender alone hears of a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager

from frame.constants import ROOM_PREFIX
from im_service.calls import SERVER, Nothing
from im_service.chatrooms.model import RecallArgs as RoomRecallArgs
from im_service.chatrooms.recall import RoomRecall
from im_service.context import ServiceContext
from im_service.conversation.access import Access
from im_service.conversation.revisions import RecallArgs, Revisions
from im_service.errors import Code, ImError
from im_service.models import encode, pack_payload
from im_service.notices import SYSTEM, Note, rows
from im_service.outbox.kinds.base import Change
from im_service.outbox.kinds.people import ModerationVerdict
from im_service.outbox.kinds.rooms import RoomRecalled
from im_service.routing import of_message
from im_service.sending.releases import Releases
from im_service.storage.errors import StoreMissing
from im_service.storage.records import Review, ReviewKind, Ruling, StoredMessage

_log = logging.getLogger("qianwan.im")
AT_ONCE = 100
"""Overdue messages decided in one sweep; the next ones with the next."""
MOST_COUNTED = 500
"""Pairs of rule and verdict that are counted apart: engines name rules as they like."""
REPORTED = "@report"
RELEASE = "release"
REFUSE = "refuse"


class Decisions:
    """Carries out verdicts; knows nothing of who gave them."""

    def __init__(
        self,
        context: ServiceContext,
        access: Access,
        releases: Releases,
        revisions: Revisions,
        room_recall: RoomRecall,
    ) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._announcer = context.announcer
        self._access = access
        self._releases = releases
        self._revisions = revisions
        self._room_recall = room_recall
        self._counts: dict[tuple[str, str], int] = {}

    async def decide(self, review: Review, ruling: Ruling, by: str, note: str = "", text: str = "") -> Ruling:
        """`text`: what people are told. -> where it stands now; OPEN: somebody had decided before."""
        with self._releases.under_way():
            return await self._decide(review, ruling, by, note, text)

    async def _decide(self, review: Review, ruling: Ruling, by: str, note: str, text: str) -> Ruling:
        found = await self._store.find(review.conversation, [review.seq])
        if not found:
            raise ImError(Code.NOT_FOUND, "the message is there no more")
        message = found[0]
        notes = await self._notes(review, message, ruling, text)
        kept = of_message(review.bits, message.payload).options()
        tombstone = pack_payload(encode({"operator": SYSTEM, "text": text}), kept)
        now = self._clock.now_ms()
        try:
            with self._told(review, message, ruling, by, text):
                done = await self._store.decide(review.id, ruling, by, note, now, tombstone, rows(notes))
        except StoreMissing:  # a group that ended: there is nobody to tell
            notes = []
            with self._told(review, message, ruling, by, text):
                done = await self._store.decide(review.id, ruling, by, note, now, tombstone)
        self._count(review.rule if review.kind == ReviewKind.HELD else REPORTED, done.value, not by)
        if done.value == Ruling.PASSED and review.kind == ReviewKind.HELD:
            await self._release(review)
        elif done.value == Ruling.REFUSED and review.kind == ReviewKind.REPORTED:
            await self._recalled(message, text)
        if done.value in (Ruling.PASSED, Ruling.REFUSED) and notes:
            if review.kind == ReviewKind.HELD and ruling == Ruling.PASSED:
                topics = await self._access.topics(SERVER, message._replace(bits=review.bits))
                notes = [notes[0]._replace(topics=topics)]
            self._announcer.publish(notes, done.notices)
        return done.value

    def _told(
        self, review: Review, message: StoredMessage, ruling: Ruling, by: str, text: str
    ) -> AbstractContextManager[None]:
        """The verdict, and that a chatroom's message is taken back: its log has no notices."""
        reported, server_id = review.kind == ReviewKind.REPORTED, str(message.server_id)
        told: list[Change] = [ModerationVerdict(
            review=review.id,
            about="reported" if reported else "held",
            conversation=review.conversation,
            seq=review.seq,
            server_id=server_id,
            user=message.sender,
            verdict=ruling.name.lower(),
            rule=review.rule,
            by=by,
        )]  # fmt: skip
        room = review.conversation
        if room.startswith(ROOM_PREFIX) and reported and ruling == Ruling.REFUSED:
            told.append(RoomRecalled(
                room=room[2:], by=SYSTEM, seq=review.seq, server_id=server_id, text=text
            ))  # fmt: skip
        where = of_message(review.bits, message.payload)
        return self._teller.changes([(review.conversation, each) for each in told], where)

    async def _notes(self, review: Review, message: StoredMessage, ruling: Ruling, text: str) -> list[Note]:
        """What the log says of it. Chatrooms have no such thing."""
        if message.conversation.startswith(ROOM_PREFIX):
            return []
        named = {"seq": message.seq, "server_id": message.server_id, "client_id": message.client_id}
        if review.kind == ReviewKind.HELD:
            if ruling == Ruling.PASSED:  # its topics are known when it can be seen
                return [self._announcer.about(message._replace(bits=review.bits), RELEASE, named, ())]
            about = {**named, "text": text}
            where = of_message(review.bits, message.payload)
            return [self._announcer.private(message.sender, message.conversation, REFUSE, about, where)]
        if ruling == Ruling.PASSED:
            return []
        data = {**named, "operator": SYSTEM, "text": text, "attach": ""}
        topics = await self._access.topics(SERVER, message)
        return [self._announcer.about(message, "recall", data, topics)]

    async def _release(self, review: Review) -> None:
        for row in await self._store.find(review.conversation, [review.seq]):
            try:
                await self._releases.publish(row)
            except ImError as error:
                _log.info("a released message is not told live: %s", error)

    async def _recalled(self, message: StoredMessage, text: str) -> None:
        if message.conversation.startswith(ROOM_PREFIX):
            self._room_recall.tell(message.conversation[2:], message.server_id, SYSTEM, text)
        else:
            self._revisions.cancel_push(message)

    async def later(
        self, conversation: str, server_id: int, allowed: bool, rule: str, text: str = ""
    ) -> Ruling:
        """A verdict of an engine on a message that was sent already: a held one is decided, one that
        everybody has stays, or is recalled with a notice, however old it is. 404."""
        by = f"@{rule or 'engine'}"
        found = await self._store.find_server_ids(conversation, [server_id])
        review = await self._store.review_of(conversation, found[0].seq) if found else None
        if review is not None and review.kind == ReviewKind.HELD and review.state == Ruling.OPEN:
            ruling = Ruling.PASSED if allowed else Ruling.REFUSED
            return await self.decide(review, ruling, by, text=text)
        if allowed:
            if not found and not conversation.startswith(ROOM_PREFIX):  # rooms may keep no history
                raise ImError(Code.NOT_FOUND, "no such message")
            return Ruling.PASSED
        await self._recall(conversation, server_id, text)
        self._count(by, Ruling.REFUSED, False)
        return Ruling.REFUSED

    async def _recall(self, conversation: str, server_id: int, text: str) -> Nothing:
        if conversation.startswith(ROOM_PREFIX):
            args = RoomRecallArgs(room=conversation[2:], server_id=server_id, text=text)
            return await self._room_recall.recall(SERVER, args)
        recall = RecallArgs(conversation=conversation, server_id=server_id, text=text, ignore_window=True)
        await self._revisions.recall(SERVER, recall)
        return {}

    def _count(self, rule: str, ruling: Ruling, lapsed: bool) -> None:
        """By rule and verdict, since the start."""
        if ruling == Ruling.OPEN:
            return
        key = (rule, ("lapsed_" if lapsed else "") + ruling.name.lower())
        if key not in self._counts and len(self._counts) >= MOST_COUNTED:
            key = ("@others", key[1])
        self._counts[key] = self._counts.get(key, 0) + 1

    def stats(self) -> Mapping[str, object]:
        """Decisions by (rule, verdict)."""
        return {"decisions": dict(self._counts)}

    async def lapse(self) -> None:
        """Decide what nobody decided about in time."""
        for review in await self._store.due_reviews(self._clock.now_ms(), AT_ONCE):
            ruling = Ruling.PASSED if review.lapse else Ruling.REFUSED
            try:
                await self.decide(review, ruling, "")
            except ImError as error:
                _log.warning("review %d is closed without a verdict: %s", review.id, error)
                await self._store.decide(review.id, Ruling.GONE, "", "", self._clock.now_ms())

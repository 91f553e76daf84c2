"""Taking back, deleting, editing and reacting: what happens to a message after it was sent.

A recall, edit or deletion is one transaction: the row changes and a notice is appended to the same
conversation, so a device that was away learns of it in order. If the notice reaches a device before the
message, the tombstone wins: the row a device pulls later is the tombstone already. One file, longer than
others: the four share who may, what is found and how it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from frame.constants import GROUP_PREFIX, MessageType
from im_service import ids
from im_service.calls import Args, Caller, Number, Positive, method
from im_service.context import ServiceContext
from im_service.conversation.access import Access
from im_service.conversation.sync import After, Conversation, Seq
from im_service.errors import Code, ImError
from im_service.grammar import readable
from im_service.models import EMPTY_MAP, encode, pack_payload, unpack_payload
from im_service.notices import DELETE, SYSTEM, Note, rows
from im_service.options import CONTROL
from im_service.outbox.kinds.people import MessageReaction
from im_service.pages import fit
from im_service.routing import Routing, left_of, of_message
from im_service.sending.admission import PASSED, WAITING
from im_service.sending.bodies import check_body
from im_service.sending.hooks import Draft
from im_service.sending.messages import Sending
from im_service.storage.records import (
    FILTERED,
    HELD,
    RECALLED,
    AppendResult,
    Applied,
    Reaction,
    StoredMessage,
)

TEXT = int(MessageType.TEXT)
NOTIFICATION = int(MessageType.NOTIFICATION)
Seqs = Annotated[list[Seq], Meta(min_length=1, max_length=100)]


class RecallArgs(Args):
    conversation: Conversation
    seq: Seq = 0
    server_id: Number = 0
    mode: Literal["both", "receiver", "silent"] = "both"
    text: Annotated[str, Meta(max_length=128)] = ""
    attach: Annotated[str, Meta(max_length=5000)] = ""
    ignore_window: bool = False


class DeleteArgs(Args):
    conversation: Conversation
    seqs: Seqs


class EditArgs(Args):
    conversation: Conversation
    seq: Positive
    body: Raw
    ext: Annotated[str, Meta(max_length=4096)] | None = None


class VersionsArgs(Args):
    """`after`: the last version of the page before; versions begin with 0."""

    conversation: Conversation
    seq: Positive
    after: Annotated[int, Meta(ge=-1, le=1 << 62)] = -1


class ReactArgs(Args):
    conversation: Conversation
    seq: Positive
    kind: Annotated[str, Meta(min_length=1, max_length=32)]
    on: bool = True
    ext: Annotated[str, Meta(max_length=256)] = ""


class ReactionsArgs(Args):
    conversation: Conversation
    seqs: Seqs
    after: After = ""


class Recalled(Struct):
    changed: bool
    seq: int


class Deleted(Struct):
    deleted: int


class Edited(Struct):
    version: int


class VersionLine(Struct, array_like=True):
    version: int
    editor: str
    time_ms: int
    body: Raw


class Versions(Struct):
    versions: list[VersionLine]
    more: bool


class Reacted(Struct):
    changed: bool


class Reactions(Struct):
    """`after`: where the next page begins."""

    reactions: list[Reaction]
    after: str
    more: bool


LinePlace = tuple[int, int, str, str]


AT_ONCE = 10
"""Messages whose reactions are read at once: each may have very many, and an answer has room for few."""


def _order(line: Reaction) -> LinePlace:
    return line.seq, line.time_ms, line.user, line.kind


def _place(after: str) -> LinePlace:
    """The order of the last line of a page, as its answer said it. 414."""
    try:
        seq, time_ms, user, kind = after.split(":", 3)
        return int(seq), int(time_ms), user, kind
    except ValueError:
        raise ImError(Code.INVALID, "after is what the page before said") from None


def _named(message: StoredMessage) -> dict[str, object]:
    return {"seq": message.seq, "server_id": message.server_id, "client_id": message.client_id}


class Revisions:
    """Recall, deletion, edit, reactions."""

    def __init__(
        self,
        context: ServiceContext,
        access: Access,
        messages: Sending,
        taken_back: Callable[[StoredMessage], None],
    ) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._announcer = context.announcer
        self._settings = context.settings
        self._taken_back = taken_back
        self._access = access
        self._messages = messages

    async def _message(
        self, caller: Caller, conversation: str, seq: int, server_id: int = 0
    ) -> StoredMessage:
        """The row, if the caller takes part and may know of it. 404."""
        await self._access.participant(caller, conversation)
        if seq:
            found = await self._store.find(conversation, [seq])
        else:
            found = await self._store.find_server_ids(conversation, [server_id])
        if not found or found[0].flags & FILTERED or found[0].bits & CONTROL:
            raise ImError(Code.NOT_FOUND, "no such message")
        message = found[0]
        if message.sender != caller.user and not await self._access.sees(caller, conversation, [message.seq]):
            raise ImError(Code.NOT_FOUND, "no such message")
        return message

    @method("recall", Code.NOT_FOUND, Code.FORBIDDEN, Code.RECALL_WINDOW, result=Recalled, alone=True)
    async def recall(self, caller: Caller, args: RecallArgs) -> Recalled:
        """Take a message back. mode both: tombstone for everybody, a notice, unread corrected, push
        cancelled; receiver: gone for the receivers, the sender keeps it; silent: gone, nobody is
        told (server). The sender has the window, group owners and managers seven days, the
        server no limit when it says so."""
        if not args.seq and not args.server_id:
            raise ImError(Code.INVALID, "seq or server_id says which message")
        message = await self._message(caller, args.conversation, args.seq, args.server_id)
        if args.mode == "silent":
            return await self._silently(caller, message)
        if message.flags & RECALLED:
            return Recalled(False, message.seq)
        await self._may_recall(caller, message, args)
        if args.mode == "receiver":
            return await self._one_sided(caller, message)
        operator = caller.user or SYSTEM
        data = {**_named(message), "operator": operator, "text": args.text, "attach": args.attach}
        note = self._announcer.about(message, "recall", data, await self._access.topics(caller, message))
        kept = of_message(message.bits, message.payload).options()
        tombstone = pack_payload(encode({"operator": operator, "text": args.text}), kept)
        now = self._clock.now_ms()
        done = await self._store.recall(args.conversation, message.seq, tombstone, now, rows([note]))
        if done.value.changed:
            self.cancel_push(message)
            self._announcer.publish([note], done.notices)
        return Recalled(done.value.changed, message.seq)

    async def _may_recall(self, caller: Caller, message: StoredMessage, args: RecallArgs) -> None:
        age = ids.age_ms(message.time_ms, message.server_id, self._clock.now_ms())
        longest = self._settings.recall_window_max_ms
        if caller.server:
            if age > longest and not args.ignore_window:
                raise ImError(Code.RECALL_WINDOW)
            return
        if message.type == NOTIFICATION:
            raise ImError(Code.FORBIDDEN, "what the service says of the group stays")
        if args.ignore_window:
            raise ImError(Code.FORBIDDEN, "only the server may ignore the window")
        if message.sender == caller.user:
            window = min(self._settings.recall_window_ms, longest)
            if age > (window if args.mode == "both" else longest):
                raise ImError(Code.RECALL_WINDOW, None, {"window_ms": window})
            return
        group = args.conversation.startswith(GROUP_PREFIX)
        if not group or not await self._access.outranks(args.conversation[2:], caller.user, message.sender):
            raise ImError(Code.FORBIDDEN, "not yours to recall")
        if age > longest:
            raise ImError(Code.RECALL_WINDOW)

    async def _one_sided(self, caller: Caller, message: StoredMessage) -> Recalled:
        """The receivers lose it, the sender keeps it."""
        talk, seq = message.conversation, message.seq
        data = {"seqs": [seq], "keeps": message.sender}
        note = self._announcer.about(message, DELETE, data, await self._access.topics(caller, message))
        done: Applied[bool] | Applied[int]
        if talk.startswith(GROUP_PREFIX):
            done = await self._store.withdraw(talk, seq, rows([note]))
        else:
            peer = ids.peer_of(talk, message.sender)
            done = await self._store.hide(peer, talk, [seq], self._clock.now_ms(), rows([note]))
        return self._gone(message, note, bool(done.value), done.notices)

    async def _silently(self, caller: Caller, message: StoredMessage) -> Recalled:
        if not caller.server:
            raise ImError(Code.FORBIDDEN, "only the server deletes silently")
        topics = await self._access.topics(caller, message)
        note = self._announcer.about(message, DELETE, {"seqs": [message.seq]}, topics)
        now = self._clock.now_ms()
        left = left_of(message.bits, message.payload)
        done = await self._store.erase(message.conversation, [message.seq], now, rows([note]), left)
        return self._gone(message, note, bool(done.value), done.notices)

    def _gone(
        self, message: StoredMessage, note: Note, changed: bool, told: Sequence[AppendResult]
    ) -> Recalled:
        if changed:
            self.cancel_push(message)
            self._announcer.publish([note], told)
        return Recalled(changed, message.seq)

    def cancel_push(self, message: StoredMessage) -> None:
        """Nobody shall read on a lock screen what was taken back."""
        self._taken_back(message)

    @method("delete", Code.FORBIDDEN, result=Deleted)
    async def delete(self, caller: Caller, args: DeleteArgs) -> Deleted:
        """Delete messages for me only, on all my devices. Others keep them."""
        await self._access.participant(caller, args.conversation)
        found = await self._store.find(args.conversation, args.seqs)
        # A notice about messages stays: another device has yet to learn from it.
        talk = args.conversation
        kept = [message for message in found if not message.bits & CONTROL]
        seqs: dict[Routing, list[int]] = {}
        for message in kept:
            seqs.setdefault(of_message(message.bits, message.payload), []).append(message.seq)
        notes = [
            self._announcer.private(caller.user, talk, DELETE, {"seqs": each}, where)
            for where, each in seqs.items()
        ]
        now = self._clock.now_ms()
        done = await self._store.hide(caller.user, talk, [each.seq for each in kept], now, rows(notes))
        self._announcer.publish(notes, done.notices)
        return Deleted(done.value)

    @method(
        "edit",
        Code.NOT_FOUND,
        Code.FORBIDDEN,
        Code.RECALL_WINDOW,
        Code.INVALID,
        result=Edited,
        alone=True,
    )
    async def edit(self, caller: Caller, args: EditArgs) -> Edited:
        """Give a text message a new body. Its sender may, within the edit window; earlier versions are
        kept."""
        message = await self._message(caller, args.conversation, args.seq)
        if message.flags & RECALLED:
            raise ImError(Code.NOT_FOUND, "the message was recalled")
        if message.type != TEXT:
            raise ImError(Code.INVALID, "only text messages are edited")
        if message.bits & HELD:
            raise ImError(Code.FORBIDDEN, "what waits for a verdict stays as it is", {"hook": True})
        now = self._clock.now_ms()
        if not caller.server:
            if message.sender != caller.user:
                raise ImError(Code.FORBIDDEN, "not yours to edit")
            if ids.age_ms(message.time_ms, message.server_id, now) > self._settings.edit_window_ms:
                raise ImError(Code.RECALL_WINDOW, "the edit window has passed")
        check_body(TEXT, args.body)
        _, options, ext = unpack_payload(message.payload)
        asked = bytes(args.body), ext if args.ext is None else args.ext
        judged = await self._judged(caller, message, options, *asked)
        if judged is None:
            return Edited(len(await self._store.versions(args.conversation, args.seq)) + 1)
        payload = pack_payload(judged[0], options or EMPTY_MAP, judged[1])
        operator = caller.user or SYSTEM
        topics = await self._access.topics(caller, message)
        content = await self._access.topics(caller, message, content=True)
        note = self._announcer.about(message, "edit", {**_named(message), "operator": operator}, topics)
        done = await self._store.edit(
            args.conversation,
            args.seq,
            operator,
            payload,
            now,
            rows([note]),
            self._settings.edit_versions,
        )
        if done.value.changed:
            self._announcer.publish([note], done.notices)
            body = msgspec.msgpack.decode(judged[0])
            version = done.value.version
            event = {"conversation": args.conversation, "seq": args.seq, "version": version, "body": body}
            self._announcer.events(content, "edited", event)
        return Edited(done.value.version)

    async def _judged(
        self, caller: Caller, message: StoredMessage, options: bytes, body: bytes, ext: str | None
    ) -> tuple[bytes, str | None] | None:
        """Body and ext as the checks and hooks of a send leave them; None = swallowed."""
        if caller.session is None:
            return body, ext
        antispam = msgspec.msgpack.decode(options or EMPTY_MAP).get("antispam")
        draft = Draft(
            message.conversation,
            message.sender,
            caller.device,
            message.client_id,
            message.type,
            body,
            ext,
            antispam,
        )
        judged = await self._messages.judge_again(caller.session, draft)
        if judged.verdict == WAITING:
            raise ImError(Code.FORBIDDEN, "an edit that somebody has to look at first", {"hook": True})
        return (judged.draft.body, judged.draft.ext) if judged.verdict == PASSED else None

    @method("versions", Code.NOT_FOUND, result=Versions, server_only=True)
    async def versions(self, caller: Caller, args: VersionsArgs) -> Versions:
        """Every earlier body of a message, oldest first."""
        await self._access.participant(caller, args.conversation)
        found = await self._store.versions(args.conversation, args.seq)
        lines = (
            VersionLine(
                v.version, v.editor, v.time_ms, Raw(readable(TEXT, unpack_payload(v.payload)[0]).body)
            )
            for v in found
            if v.version > args.after
        )
        return Versions(*fit(lines, self._settings.reply_bytes))

    @method("react", Code.NOT_FOUND, Code.FORBIDDEN, Code.CONFLICT, result=Reacted)
    async def react(self, caller: Caller, args: ReactArgs) -> Reacted:
        """Add or take away a quick comment on a message; one per kind and user, and so many of a user and of
        all."""
        message = await self._message(caller, args.conversation, args.seq)
        if message.flags & RECALLED:
            raise ImError(Code.NOT_FOUND, "the message was recalled")
        topics = await self._access.topics(caller, message)
        now = self._clock.now_ms()
        told = MessageReaction(
            conversation=args.conversation,
            seq=args.seq,
            user=caller.user,
            kind=args.kind,
            on=args.on,
            ext=args.ext,
        )
        with self._teller.change(args.conversation, told, of_message(message.bits, message.payload)):
            done = await self._store.react(
                args.conversation,
                args.seq,
                caller.user,
                args.kind,
                args.ext,
                args.on,
                now,
                per_user=self._settings.reactions_per_user,
                per_message=self._settings.reactions_per_message,
            )
        if done.value:
            self._announcer.events(topics, "reaction", msgspec.structs.asdict(told), caller.session)
        return Reacted(done.value)

    @method("reactions", Code.FORBIDDEN, result=Reactions, alone=True)
    async def reactions(self, caller: Caller, args: ReactionsArgs) -> Reactions:
        """Quick comments of these messages, by seq, oldest first."""
        await self._access.participant(caller, args.conversation)
        start: LinePlace = _place(args.after) if args.after else (0, 0, "", "")
        seen = await self._access.sees(caller, args.conversation, args.seqs)
        seqs = sorted(seq for seq in seen if seq >= start[0])
        page: list[Reaction] = []
        more = False
        while seqs and not more:
            found = await self._store.reactions(args.conversation, seqs[:AT_ONCE])
            lines = [*page, *(line for line in found if _order(line) > start)]
            page, more = fit(lines, self._settings.reply_bytes)
            seqs = seqs[AT_ONCE:]
        after = ":".join(map(str, _order(page[-1]))) if page else args.after
        return Reactions(page, after, more)

"""Everything that one sender said is taken back, a page at a time."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from frame.constants import ROOM_PREFIX
from im_service.calls import SERVER, Args, Caller, Number, method
from im_service.chatrooms.model import RecallArgs as RoomRecallArgs
from im_service.chatrooms.recall import RoomRecall
from im_service.context import ServiceContext
from im_service.conversation.revisions import RecallArgs, Revisions
from im_service.errors import Code, ImError
from im_service.ids import SINGLE, check_id, check_order, kind_of
from im_service.pages import number


class RemoveArgs(Args):
    """`conversation`: only there, and only so in chatrooms; `since_ms`: only what came then or later.
    `after`: as the page before said."""

    sender: Annotated[str, Meta(min_length=1, max_length=64)]
    conversation: Annotated[str, Meta(max_length=132)] = ""
    since_ms: Number = 0
    text: Annotated[str, Meta(max_length=128)] = ""
    after: Annotated[str, Meta(max_length=64)] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 50


class RemovedPage(Struct):
    """`after`: goes with the next call; a page may have removed nothing and have more behind it."""

    removed: int
    after: str
    more: bool


class Removal:
    """Recalls in the name of the system, however old the messages are."""

    def __init__(self, context: ServiceContext, revisions: Revisions, room_recall: RoomRecall) -> None:
        self._store = context.store
        self._revisions = revisions
        self._room_recall = room_recall

    @method("moderation.remove", Code.INVALID, result=RemovedPage, server_only=True)
    async def remove(self, caller: Caller, args: RemoveArgs) -> RemovedPage:
        """Recall all that somebody said, in every conversation they have or had, a page at a time and told
        like any recall. Go on with `after`, also after a failure: what is recalled stays so."""
        check_id(args.sender, "sender")
        if args.conversation:
            if kind_of(args.conversation) == SINGLE:
                check_order(args.conversation)
            if not await self._store.is_conversation(args.conversation):
                raise ImError(Code.NOT_FOUND, "no such conversation")
        conv, _, seq = args.after.partition(":")
        place = (number(conv), number(seq)) if args.after else (0, 0)
        page = await self._store.said_by(args.sender, args.conversation, args.since_ms, place, args.limit)
        removed = 0
        for conversation, seq_there, server_id in page.items:
            try:
                removed += await self._recalled(conversation, seq_there, server_id, args.text)
            except ImError as error:
                if error.code != Code.NOT_FOUND:  # gone meanwhile
                    raise
        return RemovedPage(removed, f"{page.conv}:{page.seq}", page.more)

    async def _recalled(self, conversation: str, seq: int, server_id: int, text: str) -> bool:
        if conversation.startswith(ROOM_PREFIX):
            room = RoomRecallArgs(room=conversation[2:], server_id=server_id, text=text)
            await self._room_recall.recall(SERVER, room)
            return True
        asked = RecallArgs(conversation=conversation, seq=seq, text=text, ignore_window=True)
        return (await self._revisions.recall(SERVER, asked)).changed

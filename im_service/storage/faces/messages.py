"""MessageLog (without append), Inbox and Receipts."""

from collections.abc import Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.ops import inbox, messages, receipts, revise
from im_service.storage.records import (
    Applied,
    Audience,
    ChangedPage,
    InboxRow,
    Mark,
    Notices,
    Page,
    Reaction,
    ReceiptCount,
    ReceiptList,
    Revised,
    SessionRow,
    StoredMessage,
    Version,
    View,
)


class MessagesFace(Engine):
    async def pull(
        self, user: str | None, conversation: str, from_seq: int, to_seq: int | None,
        limit: int, view: View, reverse: bool = False,
    ) -> Page[StoredMessage]:  # fmt: skip
        return await self._read(messages.pull(user, conversation, from_seq, to_seq, limit, view, reverse))

    async def recent(
        self, user: str, conversations: int, per_conversation: int, view: View
    ) -> list[StoredMessage]:
        return await self._read(messages.recent(user, conversations, per_conversation, view))

    async def find(self, conversation: str, seqs: Sequence[int]) -> list[StoredMessage]:
        return await self._read(messages.find(conversation, "seq", seqs))

    async def find_server_ids(self, conversation: str, server_ids: Sequence[int]) -> list[StoredMessage]:
        return await self._read(messages.find(conversation, "server_id", server_ids))

    async def sees(self, user: str, conversation: str, seqs: Sequence[int], now_ms: int) -> set[int]:
        return await self._read(messages.sees(user, conversation, seqs, now_ms))

    async def audience(self, conversation: str, seq: int, now_ms: int, sync: bool = False) -> Audience:
        return await self._read(messages.audience(conversation, seq, now_ms, sync))

    async def recall(
        self, conversation: str, seq: int, tombstone: bytes, now_ms: int, notices: Notices = ()
    ) -> Applied[Revised]:
        return await self._write(partial(revise.recall, conversation, seq, tombstone, notices))

    async def erase(
        self, conversation: str, seqs: Sequence[int], now_ms: int, notices: Notices = ()
    ) -> Applied[int]:
        return await self._write(partial(revise.erase, conversation, seqs, notices))

    async def edit(
        self, conversation: str, seq: int, editor: str, payload: bytes, now_ms: int,
        notices: Notices = (), max_versions: int = 0,
    ) -> Applied[Revised]:  # fmt: skip
        return await self._write(
            partial(revise.edit, conversation, seq, editor, payload, now_ms, notices, max_versions)
        )

    async def versions(self, conversation: str, seq: int) -> list[Version]:
        return await self._read(revise.versions(conversation, seq))

    async def hide(
        self, user: str, conversation: str, seqs: Sequence[int], now_ms: int, notices: Notices = ()
    ) -> Applied[int]:
        return await self._write(partial(revise.hide, user, conversation, seqs, notices))

    async def withdraw(self, conversation: str, seq: int, notices: Notices = ()) -> Applied[bool]:
        return await self._write(partial(revise.withdraw, conversation, seq, notices))

    async def react(
        self, conversation: str, seq: int, user: str, kind: str, ext: str, add: bool, now_ms: int,
        notices: Notices = (),
    ) -> Applied[bool]:  # fmt: skip
        return await self._write(
            partial(revise.react, conversation, seq, user, kind, ext, add, now_ms, notices)
        )

    async def reactions(self, conversation: str, seqs: Sequence[int]) -> list[Reaction]:
        return await self._read(revise.reactions(conversation, seqs))

    async def changed(self, user: str, device: str, cursor: int, limit: int) -> ChangedPage:
        return await self._read(inbox.changed(user, device, cursor, limit))

    async def sessions(
        self, user: str, limit: int, view: View, before: int | None = None
    ) -> list[SessionRow]:
        return await self._read(inbox.sessions(user, limit, view, before))

    async def unread(self, user: str, conversations: Sequence[str] | None, now_ms: int) -> dict[str, int]:
        return await self._read(inbox.unread(user, conversations, now_ms))

    async def read(self, user: str, marks: Sequence[Mark]) -> list[Mark]:
        return await self._write(partial(inbox.read, user, marks), len(marks))

    async def clear(self, user: str, conversation: str, up_to_seq: int) -> InboxRow:
        return await self._write(partial(inbox.clear, user, conversation, up_to_seq))

    async def set_inbox(self, user: str, conversation: str, settings: bytes) -> InboxRow:
        return await self._write(partial(inbox.set_inbox, user, conversation, settings))

    async def inbox(self, user: str, device: str, conversations: Sequence[str]) -> list[InboxRow]:
        return await self._read(inbox.inbox(user, device, conversations))

    async def read_marks(self, conversation: str, users: Sequence[str]) -> dict[str, int]:
        return await self._read(inbox.read_marks(conversation, users))

    async def last_seqs(self, conversations: Sequence[str]) -> dict[str, int]:
        return await self._read(messages.last_seqs(conversations))

    async def report(
        self, user: str, conversation: str, seqs: Sequence[int], now_ms: int
    ) -> list[ReceiptCount]:
        return await self._write(partial(receipts.report, user, conversation, seqs, now_ms))

    async def receipt_counts(self, conversation: str, seqs: Sequence[int]) -> list[ReceiptCount]:
        return await self._read(receipts.counts(conversation, seqs))

    async def receipt_list(self, conversation: str, seq: int) -> ReceiptList:
        return await self._read(receipts.lists(conversation, seq))

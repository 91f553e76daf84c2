"""The log, what each user holds of it, and who has read what."""

import asyncio
from collections.abc import Sequence
from functools import partial

from im_service.storage.engine import Engine
from im_service.storage.errors import StoreUnavailable
from im_service.storage.ops import inbox, messages, receipts, revise
from im_service.storage.queue import AckItem, AppendItem
from im_service.storage.records import (
    Applied,
    Audience,
    Change,
    ChangedPage,
    Done,
    InboxRow,
    ListedPage,
    Mark,
    NewMessage,
    Notices,
    Page,
    Reaction,
    ReceiptCount,
    ReceiptList,
    Revised,
    SessionRow,
    StoredMessage,
    UnreadPage,
    Version,
    View,
    WalkPlace,
)


class MessageLog(Engine):
    """The one log. `seq` counts 1, 2, 3 ... per conversation without a gap, in commit order."""

    def append(self, batch: Sequence[NewMessage], done: Done) -> None:
        """Queue messages for commit; call from the event loop. `done` runs there, once, results in order.

        The batch commits as a whole, batches in the order queued. `s/` and `r/` conversations are made when
        first used, a group must exist. time_ms never runs backwards along seq (raised if need be).
        A full queue (settings of the engine) is answered with StoreUnavailable, through `done`.
        """
        try:
            self._put(AppendItem(batch, done))
        except StoreUnavailable as error:
            asyncio.get_running_loop().call_soon(done, error)

    async def sent_before(
        self, sender: str, client_id: str, conversation: str, digest: bytes
    ) -> tuple[int, int, int] | None:
        """(server_id, seq, time_ms) that the same message was answered with; None: there is none."""
        return await self._read(messages.sent_before(sender, client_id, conversation, digest))

    async def pull(
        self,
        user: str | None,
        conversation: str,
        from_seq: int,
        to_seq: int | None,
        limit: int,
        view: View,
        reverse: bool = False,
    ) -> Page[StoredMessage]:
        """Messages with from_seq <= seq <= to_seq (None = last), ascending, or `reverse`: newest first.

        Seqs that exist but are hidden from `user` (view, target, one-sided delete, noSense, expiry) come as
        FILTERED placeholders; below the reader's min_seq nothing comes. user None = the server's eye: no
        membership, target or one-sided rule applies. A user without this conversation gets an empty page.
        """
        return await self._read(messages.pull(user, conversation, from_seq, to_seq, limit, view, reverse))

    async def is_conversation(self, name: str) -> bool:
        """Was anything ever said there, or is it a group or room that was made?"""
        return await self._read(messages.is_conversation(name))

    async def find(self, conversation: str, seqs: Sequence[int]) -> list[StoredMessage]:
        """These rows as the server sees them, with their target lists; missing ones are left out."""
        return await self._read(messages.find(conversation, seqs))

    async def find_server_ids(self, conversation: str, server_ids: Sequence[int]) -> list[StoredMessage]:
        """`find`, by server id."""
        return await self._read(messages.find_server_ids(conversation, server_ids))

    async def sees(self, user: str, conversation: str, seqs: Sequence[int], now_ms: int) -> set[int]:
        """Those of the seqs that any view may show to `user`, class limits aside."""
        return await self._read(messages.sees(user, conversation, seqs, now_ms))

    async def audience(self, conversation: str, seq: int, now_ms: int, sync: bool = False) -> Audience:
        """Who of those present may see a message, class limits aside; empty when there is no such message.

        With `sync` its sender is left out unless SENDER_SYNC is set.
        """
        return await self._read(messages.audience(conversation, seq, now_ms, sync))

    async def recall(
        self, conversation: str, seq: int, tombstone: bytes, now_ms: int, notices: Notices = ()
    ) -> Applied[Revised]:
        """Replace the payload by `tombstone`, drop versions and reactions, set RECALLED, no longer unread.

        Idempotent: a second recall changes nothing and commits no notices. StoreMissing.
        """
        return await self._write(partial(revise.recall, conversation, seq, tombstone, notices))

    async def erase(
        self,
        conversation: str,
        seqs: Sequence[int],
        now_ms: int,
        notices: Notices = (),
        left: bytes = b"",
    ) -> Applied[int]:
        """Deletion for everybody: `left` is what is kept of the payload, FILTERED for all, not counted. ->
        rows changed."""
        return await self._write(partial(revise.erase, conversation, seqs, notices, left))

    async def edit(
        self,
        conversation: str,
        seq: int,
        editor: str,
        payload: bytes,
        now_ms: int,
        notices: Notices = (),
        max_versions: int = 0,
    ) -> Applied[Revised]:
        """New payload; the one before is kept as a version. StoreMissing also when recalled or erased;
        StoreFull when `max_versions` (0 = no limit) are kept already."""
        return await self._write(
            partial(revise.edit, conversation, seq, editor, payload, now_ms, notices, max_versions)
        )

    async def versions(self, conversation: str, seq: int) -> list[Version]:
        """Every earlier payload, oldest first (without the present one)."""
        return await self._read(revise.versions(conversation, seq))

    async def hide(
        self, user: str, conversation: str, seqs: Sequence[int], now_ms: int, notices: Notices = ()
    ) -> Applied[int]:
        """One-sided deletion: FILTERED for this user on every device, not counted unread. -> newly hidden."""
        return await self._write(partial(revise.hide, user, conversation, seqs, notices))

    async def withdraw(self, conversation: str, seq: int, notices: Notices = ()) -> Applied[bool]:
        """FILTERED for everybody but its sender, not counted, no receipts. -> did anything change."""
        return await self._write(partial(revise.withdraw, conversation, seq, notices))

    async def react(
        self,
        conversation: str,
        seq: int,
        user: str,
        kind: str,
        ext: str,
        add: bool,
        now_ms: int,
        notices: Notices = (),
        per_user: int = 0,
        per_message: int = 0,
    ) -> Applied[bool]:
        """Add or remove a quick comment, one per (message, user, kind). -> did anything change. StoreFull
        above `per_user` of this user or `per_message` of all on the message (0 = no limit)."""
        return await self._write(
            partial(
                revise.react, conversation, seq, user, kind, ext, add, now_ms, notices, per_user, per_message
            )
        )

    async def reactions(self, conversation: str, seqs: Sequence[int]) -> list[Reaction]:
        """By seq, then oldest first."""
        return await self._read(revise.reactions(conversation, seqs))


class Inbox(Engine):
    """What one user holds of their conversations."""

    async def changed(
        self, user: str, device: str, cursor: int, limit: int, place: WalkPlace | None = None
    ) -> ChangedPage:
        """Conversations of the user with a change after `cursor` (0 = all), oldest change first.

        A change is: message, recall, edit, erase, reaction, read watermark, settings, join, leave, clear.
        The cursor is one number per store; a change is never missed, but may be told twice. Where the page
        has a `place`, the user has very many conversations: they come in order of their beginnings.
        """
        return await self._read(inbox.changed(user, device, cursor, limit, place))

    async def listed(self, user: str, below: int = 0) -> ListedPage:
        """A part of the conversations the user is in, in no order; the newest, or those `below`."""
        return await self._read(inbox.listed(user, below))

    async def sessions(self, user: str, conversations: Sequence[str], view: View) -> list[SessionRow]:
        """These lines of the conversation list, in the order given; those the user has not are left out."""
        return await self._read(inbox.sessions(user, conversations, view))

    async def unread(
        self, user: str, conversations: Sequence[str] | None, now_ms: int, after: str = ""
    ) -> UnreadPage:
        """Unread counts, conversations with 0 left out, in order of their beginnings; None = all there are.

        Counted, among the newest 1,000 of each conversation: seq > read_seq, BADGE set, from others, visible
        to the user by target, noSense, one-sided delete and expiry, not recalled, not erased.
        """
        return await self._read(inbox.unread(user, conversations, now_ms, after))

    async def read(self, user: str, marks: Sequence[Mark]) -> list[Mark]:
        """Raise read watermarks (never lowered, capped at last_seq). -> those that moved, as they are now."""
        return await self._write(partial(inbox.read, user, marks), len(marks))

    async def ack(self, user: str, device: str, marks: Sequence[Mark]) -> None:
        """Raise delivery watermarks of this device (never lowered, capped). Is not a change for `changed`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with self._shares.share(len(marks)) as waited:
            self._worth(waited)
            self._put(AckItem(user, device, marks, future))
            await future

    async def clear(self, user: str, conversation: str, up_to_seq: int) -> InboxRow:
        """Forget everything up to this seq for this user. StoreMissing."""
        return await self._write(partial(inbox.clear, user, conversation, up_to_seq))

    async def set_inbox(self, user: str, conversation: str, change: Change) -> InboxRow:
        """Settings, from what they are to what `change` makes of them, whoever else changes them.
        StoreMissing when the user has no such conversation."""
        return await self._write(partial(inbox.set_inbox, user, conversation, change))

    async def inbox(self, user: str, device: str, conversations: Sequence[str]) -> list[InboxRow]:
        """Those of the conversations that the user has."""
        return await self._read(inbox.inbox(user, device, conversations))

    async def read_marks(self, conversation: str, users: Sequence[str]) -> dict[str, int]:
        """Read watermarks of these users (single chats: the peer's receipt)."""
        return await self._read(inbox.read_marks(conversation, users))


class ReceiptStore(Engine):
    """Group receipts of messages with the RECEIPT bit, expected of members who joined before they came."""

    async def report(
        self, user: str, conversation: str, seqs: Sequence[int], now_ms: int
    ) -> list[ReceiptCount]:
        """Note that `user` read these. -> new counts of those where it was news. Others are ignored."""
        return await self._write(partial(receipts.report, user, conversation, seqs, now_ms))

    async def receipt_counts(self, conversation: str, seqs: Sequence[int]) -> list[ReceiptCount]:
        """In order of seq; messages that asked for none are left out."""
        return await self._read(receipts.counts(conversation, seqs))

    async def receipt_list(self, conversation: str, seq: int) -> ReceiptList:
        """StoreMissing when there is no such message or it asked for none."""
        return await self._read(receipts.lists(conversation, seq))

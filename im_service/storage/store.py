"""What a store guarantees: the log and what is read of it here, people, groups and rooms in `base_people`.

One contract suite (tests/contract/storage) holds both engines to these two pages.

For every method:

* It is atomic: after a kill -9 at any moment either all of it is there or nothing. Its `notices` (messages
  that tell people of the change) are committed in the same transaction, and only if anything changed.
* When it returns, or `done` is called with results, it is durable (SQLite synchronous=FULL, PostgreSQL
  synchronous_commit=on). When it raises, nothing of it was stored.
* It never blocks the event loop. Changes queue for one writer that commits many in one transaction; reads
  run beside it and see everything that was acknowledged before they started.
* Errors are those of `errors.py`: StoreUnavailable (disk full, locked, server gone) may hit every method and
  is not repeated below.
* Times are arguments. Unknown users read as strangers; users are created when first named in a change.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from im_service.storage.base_people import Accounts, Groups, Relations, Requests, Rooms
from im_service.storage.records import (
    Applied,
    Audience,
    Broadcast,
    ChangedPage,
    Done,
    InboxRow,
    Limits,
    Mark,
    NewMessage,
    Notices,
    Page,
    Reaction,
    ReceiptCount,
    ReceiptList,
    Replay,
    Revised,
    SessionRow,
    StoredMessage,
    Version,
    View,
)


class MessageLog(Protocol):
    """The one log. `seq` counts 1, 2, 3 ... per conversation without a gap, in commit order."""

    def append(self, batch: Sequence[NewMessage], done: Done) -> None:
        """Queue messages for commit; call from the event loop. `done` runs there, once, results in order.

        The batch commits as a whole, batches in the order queued. `s/` and `r/` conversations are made when
        first used, a group must exist. time_ms never runs backwards along seq (raised if need be).
        A full queue (settings of the engine) is answered with StoreUnavailable, through `done`.
        """

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

    async def recent(
        self, user: str, conversations: int, per_conversation: int, view: View
    ) -> list[StoredMessage]:
        """Roaming: the last `per_conversation` visible messages of the latest conversations."""

    async def find(self, conversation: str, seqs: Sequence[int]) -> list[StoredMessage]:
        """These rows as the server sees them, with their target lists; missing ones are left out."""

    async def find_server_ids(self, conversation: str, server_ids: Sequence[int]) -> list[StoredMessage]: ...

    async def sees(self, user: str, conversation: str, seqs: Sequence[int], now_ms: int) -> set[int]:
        """Those of the seqs that any view may show to `user`, class limits aside."""

    async def audience(self, conversation: str, seq: int, now_ms: int, sync: bool = False) -> Audience:
        """Who of those present may see a message, class limits aside; empty when there is no such message.

        With `sync` its sender is left out unless SENDER_SYNC is set.
        """

    async def recall(
        self, conversation: str, seq: int, tombstone: bytes, now_ms: int, notices: Notices = ()
    ) -> Applied[Revised]:
        """Replace the payload by `tombstone`, drop versions and reactions, set RECALLED, no longer unread.

        Idempotent: a second recall changes nothing and commits no notices. StoreMissing.
        """

    async def erase(
        self, conversation: str, seqs: Sequence[int], now_ms: int, notices: Notices = ()
    ) -> Applied[int]:
        """Deletion for everybody: payload emptied, FILTERED for all, not counted. -> rows changed."""

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

    async def versions(self, conversation: str, seq: int) -> list[Version]:
        """Every earlier payload, oldest first (without the present one)."""

    async def hide(
        self, user: str, conversation: str, seqs: Sequence[int], now_ms: int, notices: Notices = ()
    ) -> Applied[int]:
        """One-sided deletion: FILTERED for this user on every device, not counted unread. -> newly hidden."""

    async def withdraw(self, conversation: str, seq: int, notices: Notices = ()) -> Applied[bool]:
        """FILTERED for everybody but its sender, not counted, no receipts. -> did anything change."""

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
    ) -> Applied[bool]:
        """Add or remove a quick comment, one per (message, user, kind). value: did anything change."""

    async def reactions(self, conversation: str, seqs: Sequence[int]) -> list[Reaction]: ...


class Inbox(Protocol):
    """What one user holds of his conversations."""

    async def changed(self, user: str, device: str, cursor: int, limit: int) -> ChangedPage:
        """Conversations of the user with a change after `cursor` (0 = all), oldest change first.

        A change is: message, recall, edit, erase, reaction, read watermark, settings, join, leave, clear.
        The cursor is one number per store; a change is never missed, but may be told twice.
        """

    async def sessions(
        self, user: str, limit: int, view: View, before: int | None = None
    ) -> list[SessionRow]:
        """Conversation list, latest change first; `before` = change of the last row of the page before."""

    async def unread(self, user: str, conversations: Sequence[str] | None, now_ms: int) -> dict[str, int]:
        """Exact unread counts, conversations with 0 left out; None = all the user has.

        Counted: seq > read_seq, BADGE set, from others, visible to the user by target, noSense, one-sided
        delete and expiry, not recalled, not erased.
        """

    async def read(self, user: str, marks: Sequence[Mark]) -> list[Mark]:
        """Raise read watermarks (never lowered, capped at last_seq). -> those that moved, as they are now."""

    async def ack(self, user: str, device: str, marks: Sequence[Mark]) -> None:
        """Raise delivery watermarks of this device (never lowered, capped). Is not a change for `changed`."""

    async def clear(self, user: str, conversation: str, up_to_seq: int) -> InboxRow:
        """Forget everything up to this seq for this user. StoreMissing."""

    async def set_inbox(self, user: str, conversation: str, settings: bytes) -> InboxRow:
        """StoreMissing when the user has no such conversation."""

    async def inbox(self, user: str, device: str, conversations: Sequence[str]) -> list[InboxRow]: ...

    async def read_marks(self, conversation: str, users: Sequence[str]) -> dict[str, int]:
        """Read watermarks of these users (single chats: the peer's receipt)."""

    async def last_seqs(self, conversations: Sequence[str]) -> dict[str, int]: ...


class Receipts(Protocol):
    """Group receipts of messages with the RECEIPT bit, expected of members who joined before they came."""

    async def report(
        self, user: str, conversation: str, seqs: Sequence[int], now_ms: int
    ) -> list[ReceiptCount]:
        """Note that `user` read these. -> new counts of those where it was news. Others are ignored."""

    async def receipt_counts(self, conversation: str, seqs: Sequence[int]) -> list[ReceiptCount]: ...

    async def receipt_list(self, conversation: str, seq: int) -> ReceiptList:
        """StoreMissing when there is no such message or it asked for none."""


class Housekeeping(Protocol):
    async def add_broadcast(
        self, payload: bytes, platforms: int, now_ms: int, expires_ms: int
    ) -> Broadcast: ...

    async def broadcasts(self, after: int, now_ms: int, limit: int = 100) -> list[Broadcast]:
        """Living ones with id > after, oldest first."""

    async def begin_request(self, key: str, digest: bytes, now_ms: int, lease_ms: int) -> Replay | None:
        """Idempotency-Key: None = the first, go on; else the earlier answer. StoreConflict: other digest.

        The key is free again after lease_ms unless finish_request came: its caller may have died.
        """

    async def finish_request(self, key: str, status: int, body: bytes, expires_ms: int) -> None:
        """Keep the answer until expires_ms."""

    async def drop_request(self, key: str) -> None:
        """The call failed in a way that may be tried again with the same key."""

    async def expire(self, now_ms: int, limits: Limits, max_rows: int = 500) -> int:
        """Remove up to max_rows messages (and what hangs on them), broadcasts and keys that no view can show.

        -> work done; call again until 0 (nothing left for now). One call is one short item for the writer.
        """

    async def stats(self) -> Mapping[str, int]:
        """schema, queued, commits, committed_messages, failed_commits, bytes; last_message, last_conversation
        and last_account: the highest number given to a row, which is about how many there ever were;
        reads_total and rows_read_total of this process. Costs the same however much is stored."""

    async def count(self) -> Mapping[str, int]:
        """messages, conversations, accounts: rows there are now. Reads all of them: no call for a clock."""


class Store(
    MessageLog, Inbox, Receipts, Groups, Requests, Relations, Accounts, Rooms, Housekeeping, Protocol
):
    """Everything, on one engine. `open_sqlite` and `open_postgres` make one."""

    async def start(self) -> None:
        """Open, migrate, start the writer. SchemaTooNew, SchemaError, StoreUnavailable."""

    async def stop(self) -> None:
        """Commit what is queued, then close. Further calls raise StoreUnavailable."""

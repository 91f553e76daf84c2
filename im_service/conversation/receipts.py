"""Group receipts: opt-in per message, counts pushed to the sender at most once a second per message.

Single chats need none of this: their receipt is the read watermark (sync.py, `read`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from frame.constants import USER_PREFIX
from im_service.calls import Args, Caller, Nothing, Positive, method
from im_service.context import ServiceContext
from im_service.conversation.access import Access
from im_service.conversation.sync import Conversation, Seq
from im_service.errors import Code, ImError
from im_service.ids import GROUP
from im_service.outbox.kinds.people import ReceiptReport
from im_service.pages import fit
from im_service.storage.records import ReceiptCount

MAX_WAITING = 10_000
"""Messages whose new counts wait for the next flush; above it counts are not pushed, queries still answer."""


class ReportArgs(Args):
    conversation: Conversation
    seqs: Annotated[list[Seq], Meta(min_length=1, max_length=50)]


class ReceiptArgs(Args):
    conversation: Conversation
    seq: Positive
    after: str = ""


class Counts(Struct):
    counts: list[ReceiptCount]


class Readers(Struct):
    """A page in order of the ids; `after`: the last id of it."""

    read: list[str]
    unread: list[str]
    after: str
    more: bool


class Receipts:
    """Who has read a group message."""

    def __init__(self, context: ServiceContext, access: Access) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._announcer = context.announcer
        self._limit = context.settings.receipt_report
        self._reply_bytes = context.settings.reply_bytes
        self._access = access
        self._waiting: dict[tuple[str, int], ReceiptCount] = {}
        self.dropped = 0

    @method("receipt.report", Code.NOT_GROUP_MEMBER, Code.INVALID)
    async def report(self, caller: Caller, args: ReportArgs) -> Nothing:
        """I have read these group messages; those that asked for no receipt are ignored."""
        await self._group(caller, args.conversation)
        if len(args.seqs) > self._limit:
            raise ImError(Code.INVALID, f"at most {self._limit} messages a report")
        told = ReceiptReport(user=caller.user, conversation=args.conversation, seqs=args.seqs)
        with self._teller.change(args.conversation, told):
            news = await self._store.report(caller.user, args.conversation, args.seqs, self._clock.now_ms())
        for count in news:
            if len(self._waiting) < MAX_WAITING:
                self._waiting[args.conversation, count.seq] = count
            else:
                self.dropped += 1
        return {}

    @method("receipt.counts", Code.NOT_GROUP_MEMBER, result=Counts, alone=True)
    async def counts(self, caller: Caller, args: ReportArgs) -> Counts:
        """How many have read these messages, and how many not."""
        await self._group(caller, args.conversation)
        seqs = await self._access.sees(caller, args.conversation, args.seqs)
        return Counts(await self._store.receipt_counts(args.conversation, sorted(seqs)))

    @method("receipt.list", Code.NOT_GROUP_MEMBER, Code.NOT_FOUND, Code.FORBIDDEN, result=Readers, alone=True)
    async def members(self, caller: Caller, args: ReceiptArgs) -> Readers:
        """Who has read a message and who has not; its sender, owner and managers may ask."""
        await self._group(caller, args.conversation)
        found = await self._store.find(args.conversation, [args.seq])
        if not found or not await self._access.sees(caller, args.conversation, [args.seq]):
            raise ImError(Code.NOT_FOUND, "no such message")
        if not caller.server and found[0].sender != caller.user:
            group = args.conversation[2:]
            if not await self._access.outranks(group, caller.user, found[0].sender):
                raise ImError(Code.FORBIDDEN, "the sender asks for the list")
        lists = await self._store.receipt_list(args.conversation, args.seq)
        readers = sorted([(user, True) for user in lists.read] + [(user, False) for user in lists.unread])
        page, more = fit([line for line in readers if line[0] > args.after], self._reply_bytes)
        return Readers(
            [user for user, read in page if read],
            [user for user, read in page if not read],
            page[-1][0] if page else args.after,
            more,
        )

    async def _group(self, caller: Caller, conversation: str) -> None:
        if await self._access.participant(caller, conversation) != GROUP:
            raise ImError(Code.INVALID, "receipts with lists are for groups")

    async def flush(self) -> None:
        """Tell senders the new counts. Called about once a second."""
        waiting, self._waiting = self._waiting, {}
        conversations: dict[str, list[int]] = {}
        for conversation, seq in waiting:
            conversations.setdefault(conversation, []).append(seq)
        for conversation, seqs in conversations.items():
            for message in await self._store.find(conversation, seqs):
                count = waiting[conversation, message.seq]
                data = {
                    "conversation": conversation,
                    "seq": count.seq,
                    "read": count.read,
                    "unread": count.unread,
                }
                self._announcer.event(USER_PREFIX + message.sender, "receipts", data)

"""From MSG frames, `sync` and `pull` to one ordered stream for the application, and the watermarks back."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from qianwan.delivery.inbox import Inbox
from qianwan.delivery.insist import RETRY_S, insist
from qianwan.delivery.store import Keeper
from qianwan.errors import Forbidden, GroupNotFound, NotFound, NotGroupMember, ProtocolError, RequestError
from qianwan.models import Ack, ConversationState, Message, Notice, conversation_of
from qianwan.tasks import Tasks, Work

PULL_LIMIT = 200
SYNC_LIMIT = 500
PARALLEL_PULLS = 8
MAX_ACKS = 200

T = TypeVar("T")
log = logging.getLogger("qianwan")
_FINAL = (Forbidden, NotFound, NotGroupMember, GroupNotFound)
"""answers that will not change: the conversation is no longer this user's"""
Call = Callable[[str, dict[str, Any]], Awaitable[bytes]]


class _Pulled(msgspec.Struct):
    messages: list[Message]
    more: bool = False


class _Synced(msgspec.Struct):
    conversations: list[ConversationState]
    cursor: int
    more: bool = False
    after: str = ""

    def goes_on(self, cursor: int, after: str) -> bool:
        """Is there another page, behind this place?"""
        return self.more and (self.cursor > cursor or self.after not in ("", after))


_pulled = msgspec.msgpack.Decoder(_Pulled)
_synced = msgspec.msgpack.Decoder(_Synced)


class Feed:
    """Everything about incoming messages of one client. `call` sends a CALL and returns the raw result,
    `notify` takes what a sync tells of the user's other devices."""

    def __init__(
        self,
        keeper: Keeper,
        call: Call,
        notify: Callable[[Notice], None],
        *,
        max_queue: int,
        believe_s: float,
    ) -> None:
        self._keeper = keeper
        self._call = call
        self._notify = notify
        self._max_queue = max_queue
        self._believe_s = believe_s
        self._inbox = Inbox(keeper.position.conversations)
        self._queue: deque[Message] = deque()
        self._arrival = asyncio.Event()
        self._space = asyncio.Event()
        self._space.set()
        self._repairing: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks()
        self._pulls = asyncio.Semaphore(PARALLEL_PULLS)
        self._unacked: set[str] = set()
        self._acked: dict[str, int] = {}
        self._marks: dict[tuple[str, str], int] = {}
        self._handed = 0  # given to the application, not yet consumed
        self._foreign = 0  # of what is handed or queued: numbered by a store that is no more
        self._behind = True
        """a catch-up is due, or has not come to its end"""
        self._end: BaseException | None = None
        self._closed = False
        self.dropped = 0
        """online-only messages lost because the application did not read; stored ones are pulled later"""

    @property
    def duplicates(self) -> int:
        return self._inbox.duplicates

    @property
    def _user(self) -> str:
        return self._keeper.position.user

    def start(self, user: str, incarnation: str) -> None:
        """A login told whose messages these are, and in which store ("" = not said) they lie. The position of
        another user is not used, that of a store that is no more neither."""
        known = self._keeper.position
        if known.user not in ("", user):
            self._start_over()
        elif incarnation and known.incarnation not in ("", incarnation):
            log.warning("the server's store is another one than before: starting over")
            self._start_over()
            self._notify(Notice("store", {"incarnation": incarnation}))
        self._keeper.position.user = user
        self._keeper.position.incarnation = incarnation or known.incarnation

    def _start_over(self) -> None:
        """Forget all numbers. What the application has or will get of the old ones is not acknowledged."""
        self._keeper.forget()
        self._inbox = Inbox({}, mine=self._inbox.mine)
        self._unacked.clear()
        self._acked.clear()
        self._marks.clear()
        self._foreign = self._handed + len(self._queue)

    # in

    def arrived(self, message: Message) -> None:
        if len(self._queue) >= self._max_queue:
            if message.seq:
                self.hinted(message.conversation, message.seq)
            else:
                self.dropped += 1
            return
        self._deliver(self._inbox.arrived(message, self._user))
        if message.seq:
            self._mend(message.conversation)

    def hinted(self, conversation: str | None, last_seq: int) -> None:
        """An EVENT SYNC: something may be missing in one conversation, or anywhere (None)."""
        if conversation is None:
            self._behind = True
            self._tasks.spawn(self.catch_up())
            return
        self._inbox.hinted(conversation, last_seq)
        self._mend(conversation)

    def resumed(self) -> None:
        """The session goes on over another connection, and lost no message: only what was not finished is
        begun again."""
        if self._behind or self._inbox.unknown():
            self.hinted(None, 0)
            return
        for conversation, _, _ in self._inbox.missing():
            self._repair(conversation)

    def sending(self, client_id: str) -> None:
        self._inbox.sending(client_id)

    def sent(self, target: str, ack: Ack) -> None:
        conversation = conversation_of(self._user, target)
        self._deliver(self._inbox.sent(conversation, ack.seq))
        if ack.seq:
            self._mend(conversation)

    def _mend(self, conversation: str) -> None:
        if self._inbox.suspects:
            self._spawn_once("?", self._verify())
        if self._inbox.unknown():
            self._spawn_once("", self.catch_up())
        elif self._inbox.gap(conversation):
            self._repair(conversation)

    def _deliver(self, ready: list[Message]) -> None:
        if ready:
            self._queue.extend(ready)
            self._arrival.set()
            if len(self._queue) >= self._max_queue:
                self._space.clear()

    # catching up

    async def catch_up(self) -> None:
        """Ask what changed since the cursor, then pull what is missing, a few conversations at a time.

        Goes on until it is done or the connection ends: what it lacks is never given up. What came while it
        asked may be of a conversation that the answer does not know yet.
        """
        await self._catch_up()
        while self._inbox.unknown():
            await self._catch_up()
        self._behind = False
        for conversation, _, _ in self._inbox.missing():
            self._repair(conversation)

    async def _catch_up(self) -> None:
        unknown = self._inbox.unknown()
        more, fresh, after = True, not self._keeper.position.cursor, ""
        reached = self._inbox.reached()
        while more:
            inbox, cursor = self._inbox, self._keeper.position.cursor
            answer = await self._sync(cursor, after)
            if inbox is self._inbox:
                self._compare(answer, cursor, reached)
            if inbox is not self._inbox:
                fresh, reached, after = True, {}, ""
                continue
            for row in answer.conversations:
                self._acked.setdefault(row.conversation, row.acked_seq)
                self._deliver(self._inbox.synced(row))
                read = {"user": self._user, "seq": row.read_seq}
                self._marked("read", row.read_seq, fresh, row.conversation, read)
                self._marked("cleared", row.min_seq - 1, fresh, row.conversation, {"min_seq": row.min_seq})
            more, after = answer.goes_on(cursor, after), answer.after
            self._keeper.position.cursor = answer.cursor
        self._deliver(self._inbox.settle_unknown(unknown))

    async def _sync(self, cursor: int, after: str) -> _Synced:
        args: dict[str, Any] = {"cursor": cursor, "limit": SYNC_LIMIT}
        return await self._insist(_synced, "sync", {**args, "after": after} if after else args)

    def _compare(self, answer: _Synced, cursor: int, reached: dict[str, int]) -> None:
        """Start over if the server's numbers went back behind what was shown before it was asked."""
        if answer.cursor < cursor or any(
            row.active and row.last_seq < reached.get(row.conversation, 0) for row in answer.conversations
        ):
            log.warning("the server's numbers went back: starting over")
            self._start_over()
            self._notify(Notice("store", {"incarnation": ""}))

    async def _verify(self) -> None:
        """Something new came under an old number: compare all that was shown with what the server knows."""
        inbox, reached = self._inbox, self._inbox.reached()
        inbox.suspects.clear()
        cursor, after, more = 0, "", True
        while more and self._inbox is inbox:
            answer = await self._sync(cursor, after)
            if self._inbox is inbox:
                self._compare(answer, cursor, reached)
            more, cursor, after = answer.goes_on(cursor, after), answer.cursor, answer.after
        if self._inbox is not inbox:
            await self.catch_up()

    def _marked(self, name: str, mark: int, fresh: bool, conversation: str, data: dict[str, Any]) -> None:
        """A watermark that another device raised meanwhile, as the notice that was missed; on a `fresh`
        device there is nothing yet that it could change."""
        if mark > self._marks.get((name, conversation), 0):
            self._marks[name, conversation] = mark
            if not fresh:
                self._notify(Notice(name, {"conversation": conversation, **data}))

    async def _insist(
        self,
        decoder: msgspec.msgpack.Decoder[T],
        method: str,
        args: dict[str, Any],
        final: tuple[type[RequestError], ...] = (),
    ) -> T:
        async def ask() -> T:
            try:
                return decoder.decode(await self._call(method, args))
            except (msgspec.MsgspecError, RecursionError) as error:
                raise ProtocolError(f"the result of {method} cannot be read") from error

        return await insist(
            ask, method, believe_s=self._believe_s, final=lambda refused: isinstance(refused, final)
        )

    def _repair(self, conversation: str) -> None:
        self._spawn_once(conversation, self._pull_all(conversation))

    async def _pull_all(self, conversation: str) -> None:
        async with self._pulls:
            while (gap := self._inbox.gap(conversation)) is not None:
                await self._space.wait()
                await self._pull(conversation, *gap)

    async def _pull(self, conversation: str, first: int, last: int) -> None:
        args = {"conversation": conversation, "from_seq": first, "to_seq": last, "limit": PULL_LIMIT}
        inbox = self._inbox
        try:
            answer = await self._insist(_pulled, "pull", args, _FINAL)
        except _FINAL as refused:
            log.warning("%s %d..%d is not for this user: %s", conversation, first, last, refused)
            answer = _Pulled([])
        if inbox is not self._inbox:
            return  # the numbers asked for are no more
        found = [message for message in answer.messages if first <= message.seq <= last]
        if answer.more and not found:
            await asyncio.sleep(RETRY_S)  # no answer, and not the end
            return
        up_to = found[-1].seq if answer.more and found else last
        self._deliver(inbox.pulled(conversation, found, up_to, self._user))

    def _spawn_once(self, key: str, work: Work) -> None:
        running = self._repairing.get(key)
        if running is not None and not running.done():
            work.close()
            return
        self._repairing[key] = self._tasks.spawn(work)

    # out

    async def next(self) -> Message:
        """The next message. Raises StopAsyncIteration after a clean close, else the reason of the end."""
        while not self._queue:
            if self._end is not None:
                raise self._end
            if self._closed:
                raise StopAsyncIteration
            self._arrival.clear()
            await self._arrival.wait()
        message = self._queue.popleft()
        self._handed += 1
        if len(self._queue) <= self._max_queue // 2:
            self._space.set()
        return message

    def consumed(self, message: Message) -> None:
        """The application is done with the message it was handed first of those not yet consumed."""
        self._handed -= 1
        if self._foreign:
            self._foreign -= 1
        else:
            self._inbox.consumed(message)

    # watermarks

    async def acknowledge(self) -> None:
        """Tell the server how far this device has got; called every second or so."""
        self.persist()
        while self._unacked:
            batch = [self._unacked.pop() for _ in range(min(MAX_ACKS, len(self._unacked)))]
            acks = {
                name: seq for name in batch if (seq := self._inbox.settled(name)) > self._acked.get(name, 0)
            }
            try:
                if acks:
                    await self._call("ack", {"acks": acks})
                    self._acked.update(acks)
            except RequestError as refused:
                if refused.transient:
                    self._unacked.update(batch)
                    raise
                log.warning("acks were refused: %s", refused)
            except BaseException:
                self._unacked.update(batch)
                raise

    def persist(self) -> None:
        """Write the position down if it has changed, or could not be written before."""
        if self._inbox.moved:
            self._unacked |= self._inbox.moved
            self._inbox.moved.clear()
            self._keeper.dirty = True
        if self._keeper.dirty:
            self.save()

    def save(self) -> None:
        self._keeper.position.conversations = self._inbox.snapshot()
        self._keeper.save()

    # the end

    def offline(self) -> None:
        """The connection is gone: stop pulling; `catch_up` starts again after the next login."""
        self._tasks.cancel()

    def close(self, reason: BaseException | None) -> None:
        self.offline()
        self._closed, self._end = True, reason
        self._arrival.set()

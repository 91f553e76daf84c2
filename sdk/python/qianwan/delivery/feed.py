"""From MSG frames, `sync` and `pull` to one ordered stream for the application, and the watermarks back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from qianwan.delivery.inbox import Inbox
from qianwan.delivery.store import CursorStore, Position
from qianwan.errors import (
    ConnectionClosed,
    Forbidden,
    GroupNotFound,
    NotFound,
    NotGroupMember,
    ProtocolError,
    RequestError,
)
from qianwan.models import Ack, ConversationState, Message, Notice, conversation_of

PULL_LIMIT = 200
SYNC_LIMIT = 500
PARALLEL_PULLS = 8
MAX_ACKS = 200
RETRY_S = 1.0
MAX_RETRY_S = 30.0

T = TypeVar("T")
log = logging.getLogger("qianwan")
_FINAL = (Forbidden, NotFound, NotGroupMember, GroupNotFound)
"""answers that will not change: the conversation is no longer this user's"""
Call = Callable[[str, dict[str, Any]], Awaitable[bytes]]


class _Pulled(msgspec.Struct):
    messages: list[Message]
    more: bool = False


class _Synced(msgspec.Struct):
    conversations: list[list[Any]]
    cursor: int
    more: bool = False


_pulled = msgspec.msgpack.Decoder(_Pulled)
_synced = msgspec.msgpack.Decoder(_Synced)


class Feed:
    """Everything about incoming messages of one client. `call` sends a CALL and returns the raw result,
    `notify` takes what a sync tells of the user's other devices."""

    def __init__(
        self, store: CursorStore, call: Call, notify: Callable[[Notice], None], *, max_queue: int
    ) -> None:
        self._store = store
        self._call = call
        self._notify = notify
        self._max_queue = max_queue
        self._position = Position()
        self._inbox = Inbox({})
        self._queue: deque[Message] = deque()
        self._arrival = asyncio.Event()
        self._space = asyncio.Event()
        self._space.set()
        self._repairing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pulls = asyncio.Semaphore(PARALLEL_PULLS)
        self._unacked: set[str] = set()
        self._acked: dict[str, int] = {}
        self._marks: dict[tuple[str, str], int] = {}
        self._end: BaseException | None = None
        self._closed = False
        self._user = ""
        self.dropped = 0
        """online-only messages lost because the application did not read; stored ones are pulled later"""

    @property
    def duplicates(self) -> int:
        return self._inbox.duplicates

    def start(self, user: str) -> Position:
        """The first login told whose messages these are; another user's position is not used."""
        if user != self._user:
            saved = self._store.load()
            self._position = saved if saved.user in ("", user) else Position()
            self._position.user = self._user = user
            self._inbox = Inbox(self._position.conversations)
        return self._position

    # in

    def arrived(self, message: Message) -> None:
        if len(self._queue) >= self._max_queue:
            if message.seq:
                self._inbox.hinted(message.conversation, message.seq)
                self._repair(message.conversation)
            else:
                self.dropped += 1
            return
        self._deliver(self._inbox.arrived(message, self._user))
        if message.seq:
            self._mend(message.conversation)

    def hinted(self, conversation: str | None, last_seq: int) -> None:
        """An EVENT SYNC: something may be missing in one conversation, or anywhere (None)."""
        if conversation is None:
            self._spawn(self.catch_up())
            return
        self._inbox.hinted(conversation, last_seq)
        self._mend(conversation)

    def sending(self, client_id: str) -> None:
        self._inbox.sending(client_id)

    def sent(self, target: str, ack: Ack) -> None:
        conversation = conversation_of(self._user, target)
        self._deliver(self._inbox.sent(conversation, ack.seq))
        if ack.seq:
            self._mend(conversation)

    def _mend(self, conversation: str) -> None:
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

        Goes on until it is done or the connection ends: what it lacks is never given up.
        """
        more, fresh = True, not self._position.cursor
        while more:
            args = {"cursor": self._position.cursor, "limit": SYNC_LIMIT}
            answer = _decode(_synced, await self._insist("sync", args))
            for row in answer.conversations:
                state = _row(row)
                self._acked.setdefault(state.conversation, state.acked_seq)
                self._deliver(self._inbox.synced(state))
                read = {"user": self._user, "seq": state.read_seq}
                self._marked("read", state.read_seq, fresh, state.conversation, read)
                cleared = {"min_seq": state.min_seq}
                self._marked("cleared", state.min_seq - 1, fresh, state.conversation, cleared)
            more = answer.more and answer.cursor > self._position.cursor
            self._position.cursor = answer.cursor
        self._deliver(self._inbox.settle_unknown())
        for conversation, _, _ in self._inbox.missing():
            self._repair(conversation)

    def _marked(self, name: str, mark: int, fresh: bool, conversation: str, data: dict[str, Any]) -> None:
        """A watermark that another device raised meanwhile, as the notice that was missed; on a `fresh`
        device there is nothing yet that it could change."""
        if mark > self._marks.get((name, conversation), 0):
            self._marks[name, conversation] = mark
            if not fresh:
                self._notify(Notice(name, {"conversation": conversation, **data}))

    async def _insist(
        self, method: str, args: dict[str, Any], final: tuple[type[RequestError], ...] = ()
    ) -> bytes:
        """Call until there is an answer; raises what will not change (`final`) and ConnectionClosed."""
        delay = RETRY_S
        while True:
            try:
                return await self._call(method, args)
            except final:
                raise
            except RequestError as refused:
                log.info("%s: %s, trying again", method, refused)
                await asyncio.sleep(refused.retry_after_s or delay)
                delay = min(2 * delay, MAX_RETRY_S)

    def _repair(self, conversation: str) -> None:
        if conversation not in self._repairing:
            self._repairing.add(conversation)
            self._spawn(self._pull_all(conversation))

    async def _pull_all(self, conversation: str) -> None:
        try:
            async with self._pulls:
                while (gap := self._inbox.gap(conversation)) is not None:
                    await self._space.wait()
                    await self._pull(conversation, *gap)
        finally:
            self._repairing.discard(conversation)

    async def _pull(self, conversation: str, first: int, last: int) -> None:
        args = {"conversation": conversation, "from_seq": first, "to_seq": last, "limit": PULL_LIMIT}
        try:
            answer = _decode(_pulled, await self._insist("pull", args, _FINAL))
        except _FINAL as refused:
            log.warning("%s %d..%d is not for this user: %s", conversation, first, last, refused)
            answer = _Pulled([])
        up_to = answer.messages[-1].seq if answer.more and answer.messages else last
        self._deliver(self._inbox.pulled(conversation, answer.messages, up_to, self._user))

    async def history(
        self, conversation: str, from_seq: int, to_seq: int | None, limit: int, reverse: bool
    ) -> list[Message]:
        """A page of the cloud history; the stream is not touched."""
        args: dict[str, Any] = {
            "conversation": conversation,
            "from_seq": from_seq,
            "limit": limit,
            "reverse": reverse,
        }
        if to_seq is not None:
            args["to_seq"] = to_seq
        page = _decode(_pulled, await self._call("history", args))
        return [message for message in page.messages if not message.hidden]

    def _spawn_once(self, key: str, work: Any) -> None:
        if key in self._repairing:
            work.close()
            return
        self._repairing.add(key)
        task = self._spawn(work)
        task.add_done_callback(lambda _: self._repairing.discard(key))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, work: Awaitable[None]) -> None:
        """A catch-up cut short by the end of a connection is taken up by the next one."""
        with contextlib.suppress(ConnectionClosed):
            try:
                await work
            except (RequestError, ProtocolError) as error:
                log.warning("catching up failed: %s", error)

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
        if len(self._queue) <= self._max_queue // 2:
            self._space.set()
        return message

    def consumed(self, message: Message) -> None:
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
                log.warning("acks were refused: %s", refused)
            except BaseException:
                self._unacked.update(batch)
                raise

    def persist(self) -> None:
        """Write the position down if it has changed."""
        if self._inbox.moved:
            self._unacked |= self._inbox.moved
            self._inbox.moved.clear()
            self.save()

    def save(self) -> None:
        self._position.conversations = self._inbox.snapshot()
        self._store.save(self._position)

    # the end

    def offline(self) -> None:
        """The connection is gone: stop pulling; `catch_up` starts again after the next login."""
        for task in list(self._tasks):
            task.cancel()

    def close(self, reason: BaseException | None) -> None:
        self.offline()
        self._closed, self._end = True, reason
        self._arrival.set()


def _decode(decoder: msgspec.msgpack.Decoder[T], payload: bytes) -> T:
    try:
        return decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ProtocolError("a result cannot be read") from error


def _row(row: list[Any]) -> ConversationState:
    name, *numbers = row
    last, read, lowest, acked = (*(number or 0 for number in numbers[:4]), 0, 0, 0, 0)[:4]
    return ConversationState(str(name), last, read, lowest, acked)

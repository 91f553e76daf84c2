"""Work on its way to a writer: what waits, what becomes one transaction, and how answers come back."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from im_service.storage.errors import StoreClosed, StoreError, StoreUnavailable
from im_service.storage.ops.tx import Op
from im_service.storage.records import AppendResult, Done, Mark, NewMessage

ATTEMPTS = 6
"""Of a transaction that others were in the way of, before it is refused as StoreUnavailable."""
OWN_ERRORS = (StoreError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError)
"""Raised by an operation itself: it alone is undone. Other errors undo the whole transaction."""


def answer_future(future: "asyncio.Future[Any]", result: object) -> None:
    if future.done():
        return  # the caller stopped waiting; the change stands
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


@dataclass(slots=True)
class AppendItem:
    batch: Sequence[NewMessage]
    done: Done

    @property
    def weight(self) -> int:
        return len(self.batch)

    def answer(self, result: object) -> None:
        self.done(cast("list[AppendResult] | BaseException", result))


@dataclass(slots=True)
class OpItem:
    """`make` builds the operation anew for every attempt: a generator runs once."""

    make: Callable[[], Op[object]]
    future: "asyncio.Future[Any]"
    weight: int = field(default=1)

    def answer(self, result: object) -> None:
        answer_future(self.future, result)


@dataclass(slots=True)
class ToldItem(OpItem):
    """An operation whose end is told in the order of those beside it, as that of messages is."""

    done: Callable[[BaseException | None], None] = field(kw_only=True)

    def answer(self, result: object) -> None:
        self.done(result if isinstance(result, BaseException) else None)


@dataclass(slots=True)
class AckItem:
    """Delivery watermarks of one device; all of a transaction become one write."""

    user: str
    device: str
    marks: Sequence[Mark]
    future: "asyncio.Future[None]"

    @property
    def weight(self) -> int:
        return len(self.marks)

    def answer(self, result: object) -> None:
        answer_future(self.future, result)


Item = AppendItem | OpItem | AckItem
Answer = tuple[Item, object]


@dataclass(slots=True)
class Counters:
    commits: int = 0
    committed_messages: int = 0
    failed_commits: int = 0
    commit_seconds: float = 0.0  # of those that succeeded, with what they were tried again for


@dataclass(slots=True)
class Reads:
    """What readers did: operations, and rows that the engine handed over."""

    operations: int = 0
    rows: int = 0


class Again(Exception):
    """An attempt met others in its way and left nothing behind; the next one may succeed."""


class Attempt(NamedTuple):
    """Commit these items in one transaction and answer them, or raise and leave nothing of them."""

    items: list[Item]
    number: int  # 0 = the first


class WriteQueue:
    """What waits for the one writer. `max_commit` bounds one transaction, `max_queued` what waits; both count
    messages and operations. `wake` is called after each change, from the thread that made it."""

    def __init__(self, max_commit: int, max_queued: int, wake: Callable[[], None]) -> None:
        self._max_commit = max_commit
        self._max_queued = max_queued
        self._wake = wake
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()
        self._closed = False
        self.queued = 0
        self._watchers: list[asyncio.Future[None]] = []
        self.counters = Counters()
        self.trouble: str | None = None
        """Why the last transaction could not be committed; None when it could."""

    def put(self, item: Item) -> None:
        """Never waits for the disk. StoreUnavailable when full or closed."""
        with self._lock:
            if self._closed:
                raise StoreClosed
            if self.queued and self.queued + item.weight > self._max_queued:
                raise StoreUnavailable(f"{self.queued} writes wait already (limit {self._max_queued})")
            self._items.append(item)
            self.queued += item.weight
        self._wake()

    def hand_out(self, answers: list[Answer]) -> None:
        """On the event loop, after a commit: every caller gets its result, then those who watch are told."""
        deliver(answers)
        if self._watchers:
            watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                if not watcher.done():
                    watcher.set_result(None)

    def next_commit(self) -> "asyncio.Future[None]":
        """Done after the next commit of this process."""
        self._watchers = [watcher for watcher in self._watchers if not watcher.done()]
        self._watchers.append(watcher := asyncio.get_running_loop().create_future())
        return watcher

    def close(self) -> None:
        """Nothing more is taken in; what waits is still to be committed."""
        with self._lock:
            self._closed = True
        self._wake()

    def take(self) -> list[Item] | None:
        """The items of the next transaction; none while nothing waits, None when nothing will any more."""
        with self._lock:
            if not self._items:
                return None if self._closed else []
            taken = [self._items.popleft()]
            weight = taken[0].weight
            while self._items and weight + self._items[0].weight <= self._max_commit:
                taken.append(self._items.popleft())
                weight += taken[-1].weight
            self.queued -= weight
            return taken

    def commit(self, items: list[Item]) -> Generator[Attempt, list[Answer], list[Answer]]:
        """Yields attempts, until all items are answered: again while others are in the way (Again), and each
        item alone when something in them cannot be stored, so that only the culprit fails."""
        reason: Exception = StoreUnavailable("other processes kept changing the same rows")
        began = time.monotonic()
        for number in range(ATTEMPTS):
            try:
                answers = yield Attempt(items, number)
            except Again:
                continue
            except StoreUnavailable as error:
                reason = error
                self.trouble = str(error)
            except Exception as error:
                if len(items) > 1:
                    apart: list[Answer] = []
                    for item in items:
                        apart += yield from self.commit([item])
                    return apart
                reason = error
            else:
                self.trouble = None
                self.counters.commits += 1
                self.counters.commit_seconds += time.monotonic() - began
                self.counters.committed_messages += sum(
                    item.weight for item in items if isinstance(item, AppendItem)
                )
                return answers
            break
        self.counters.failed_commits += 1
        return [(item, reason) for item in items]


class Run(NamedTuple):
    """Neighbouring batches of messages, written as one."""

    items: list[AppendItem]

    def batch(self) -> Sequence[NewMessage]:
        if len(self.items) == 1:
            return self.items[0].batch
        return [message for item in self.items for message in item.batch]

    def answers(self, results: Sequence[AppendResult]) -> Iterator[Answer]:
        at = 0
        for item in self.items:
            yield item, results[at : at + item.weight]
            at += item.weight


def in_order(items: Sequence[Item]) -> tuple[list[Run | OpItem], list[AckItem]]:
    """What one transaction does: batches and operations in the order queued, then the watermarks."""
    steps: list[Run | OpItem] = []
    acks: list[AckItem] = []
    run: Run | None = None
    for item in items:
        if isinstance(item, AckItem):
            acks.append(item)
        elif isinstance(item, OpItem):
            steps.append(item)
            run = None
        elif run is None:
            run = Run([item])
            steps.append(run)
        else:
            run.items.append(item)
    return steps, acks


_HIGHEST_SEQ = 1 << 62  # a client may claim any number

AckKey = tuple[str, str, str]  # user, device, conversation


def highest(acks: Sequence[AckItem]) -> list[tuple[str, str, str, int]]:
    """(user, device, conversation, seq), each key once, in an order that is the same for every process."""
    top: dict[AckKey, int] = {}
    for item in acks:
        for conversation, seq in item.marks:
            key = (item.user, item.device, conversation)
            top[key] = max(min(seq, _HIGHEST_SEQ), top.get(key, 0))
    return [(*key, seq) for key, seq in sorted(top.items())]


def deliver(answers: list[Answer]) -> None:
    """On the event loop: hand every caller its result; one that raises does not keep the others waiting."""
    loop = asyncio.get_running_loop()
    for item, result in answers:
        try:
            item.answer(result)
        except Exception as error:
            loop.call_exception_handler({"message": "a store callback raised", "exception": error})

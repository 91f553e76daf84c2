"""What the faces need of an engine, and how operations are run: the one place both engines share."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

from im_service.storage.errors import StoreClosed
from im_service.storage.event_records import NewEvent, Place
from im_service.storage.ops.tx import Op, emit
from im_service.storage.queue import Item, OpItem, Reads, WriteQueue
from im_service.storage.records import Applied, Request
from im_service.storage.shares import Shares, errand

T = TypeVar("T")
C = TypeVar("C")
A = TypeVar("A")


class Commits:
    """How many commits one request has made so far."""

    def __init__(self) -> None:
        self.count = 0


_commits: ContextVar[Commits | None] = ContextVar("commits", default=None)


@contextmanager
def counted() -> Iterator[Commits]:
    """Count the commits of what runs inside: a request that fails behind one of them had an effect."""
    commits = Commits()
    token = _commits.set(commits)
    try:
        yield commits
    finally:
        _commits.reset(token)


Told = NewEvent | Callable[[object], NewEvent | None]
"""An event, or what makes it of the answer of its change."""
_told: ContextVar[list[Told]] = ContextVar("told")


@contextmanager
def telling(*events: Told) -> Iterator[None]:
    """The first change of what runs inside is committed with these events of the durable copy: both are
    there, or none of them."""
    token = _told.set(list(events))
    try:
        yield
    finally:
        _told.reset(token)


def _with_events(make: Callable[[], Op[T]], events: Sequence[Told]) -> Op[T]:
    result = yield from make()
    if _changed(result):
        made = (each if isinstance(each, NewEvent) else each(result) for each in events)
        yield from emit([event for event in made if event is not None])
    return result


def _changed(result: object) -> bool:
    """What an operation says of itself: whether it changed, what it changed, the requests it opened."""
    value = result.value if isinstance(result, Applied) else result
    if isinstance(value, list):
        return any(not isinstance(each, Request) or each.news for each in value)
    return bool(value) if isinstance(value, int) else True


class Engine(ABC):
    """Reads run beside the writer; changes queue for it. Closed until `_queue` is there."""

    _queue: WriteQueue | None = None
    _one_sequence = False
    """Rows of the log and of the events are numbered from one sequence: whoever is at a number is there in
    both."""

    def __init__(self) -> None:
        self._shares = Shares()

    @abstractmethod
    async def _read(self, op: Op[T]) -> T:
        """Run on one snapshot, beside the writer."""

    @abstractmethod
    def _done(self) -> Reads:
        """What the readers of this process did so far."""

    @abstractmethod
    async def _bytes(self) -> int:
        """What the store takes on the disk."""

    @abstractmethod
    async def _origin(self) -> str:
        """Where the store lies: a copy lies elsewhere."""

    @abstractmethod
    async def _settled(self) -> Place:
        """Below it and at it nothing can be committed any more to the log or the events; every read that
        begins from now on sees all that was."""

    async def _write(self, make: Callable[[], Op[T]], weight: int = 1) -> T:
        """Queue for the writer; return after its commit. `make` may be called again for another attempt."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        told = _told.get(None)
        if told:
            make = partial(_with_events, make, tuple(told))
            told.clear()
        async with self._shares.share(weight) as waited:
            self._worth(waited)
            self._put(OpItem(make, future, weight))
            result = await future
        if (commits := _commits.get()) is not None:
            commits.count += 1
        return result

    def _worth(self, waited: bool) -> None:
        """Before a read or a change of a request: does somebody wait for it? After its first change it is
        finished."""
        commits, asked = _commits.get(), errand.get()
        if asked is not None and (commits is None or not commits.count):
            asked.check(waited)

    def _put(self, item: Item) -> None:
        """StoreUnavailable when closed or full."""
        self._open().put(item)

    def _open(self) -> WriteQueue:
        if self._queue is None:
            raise StoreClosed
        return self._queue


def drive(steps: Generator[C, A, T], execute: Callable[[C], A]) -> T:
    """Run a generator to its result: what it yields is executed, what came of it goes back in."""
    try:
        command = next(steps)
        while True:
            try:
                answer = execute(command)
            except Exception as error:
                command = steps.throw(error)
            else:
                command = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def drive_async(steps: Generator[C, A, T], execute: Callable[[C], Awaitable[A]]) -> T:
    """`drive` on the event loop."""
    try:
        command = next(steps)
        while True:
            try:
                answer = await execute(command)
            except Exception as error:
                command = steps.throw(error)
            else:
                command = steps.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result

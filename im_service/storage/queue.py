"""Work on its way to a writer: what is waiting, how much of it, and how answers come back."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from im_service.storage.ops.tx import Op
from im_service.storage.records import Done, Mark, NewMessage


def answer_future(future: "asyncio.Future[Any]", result: Any) -> None:
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

    def answer(self, result: Any) -> None:
        self.done(result)


@dataclass(slots=True)
class OpItem:
    """`make` builds the operation anew for every attempt: a generator runs once."""

    make: Callable[[], Op[Any]]
    future: "asyncio.Future[Any]"
    weight: int = field(default=1)

    def answer(self, result: Any) -> None:
        answer_future(self.future, result)


@dataclass(slots=True)
class AckItem:
    """Delivery watermarks of one device; all of a transaction become one write."""

    user: str
    device: str
    marks: Sequence[Mark]
    future: "asyncio.Future[Any]"

    @property
    def weight(self) -> int:
        return len(self.marks)

    def answer(self, result: Any) -> None:
        answer_future(self.future, result)


Item = AppendItem | OpItem | AckItem
Answer = tuple[Item, Any]


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


@dataclass(slots=True)
class Counters:
    commits: int = 0
    committed_messages: int = 0
    failed_commits: int = 0


@dataclass(slots=True)
class Reads:
    """What readers did: operations, and rows that the engine handed over."""

    operations: int = 0
    rows: int = 0


def deliver(answers: list[Answer]) -> None:
    """On the event loop: hand every caller its result; one that raises does not keep the others waiting."""
    loop = asyncio.get_running_loop()
    for item, result in answers:
        try:
            item.answer(result)
        except Exception as error:
            loop.call_exception_handler({"message": "a store callback raised", "exception": error})

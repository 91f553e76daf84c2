"""Work on its way to a writer: what is waiting, how much of it, and how answers come back."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from im_service.storage.base import Done
from im_service.storage.ops.tx import Op
from im_service.storage.records import NewMessage


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
        if self.future.done():
            return  # the caller stopped waiting; the change stands
        if isinstance(result, BaseException):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


Item = AppendItem | OpItem
Answer = tuple[Item, Any]


@dataclass(slots=True)
class Counters:
    commits: int = 0
    committed_messages: int = 0
    failed_commits: int = 0


def deliver(answers: list[Answer]) -> None:
    """On the event loop: hand every caller its result; one that raises does not keep the others waiting."""
    loop = asyncio.get_running_loop()
    for item, result in answers:
        try:
            item.answer(result)
        except Exception as error:
            loop.call_exception_handler({"message": "a store callback raised", "exception": error})

"""Work over many, in slices: others have their turn of the event loop between two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")
SLICE = 500
"""Of whatever there is one for each user, member or watcher: a millisecond or two."""


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """All of them, with a turn of the loop after each SLICE. What changes meanwhile is the caller's care."""
    for count, item in enumerate(items, 1):
        yield item
        if count % SLICE == 0:
            await asyncio.sleep(0)

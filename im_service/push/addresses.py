"""Tokens and rules of users, remembered, so that a message asks the store for few."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice

from im_service.storage.records import PushAddress
from im_service.storage.store import Store

AT_ONCE = 500


class Addresses:
    """What changed while it was read is not remembered."""

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._size = size
        self._known: OrderedDict[str, PushAddress] = OrderedDict()
        self._changes = 0

    async def of(self, users: Sequence[str]) -> dict[str, PushAddress]:
        """Every user asked for has an entry."""
        found: dict[str, PushAddress] = {}
        missing: list[str] = []
        for user in users:
            known = self._known.get(user)
            if known is None:
                missing.append(user)
            else:
                self._known.move_to_end(user)
                found[user] = known
        for part in parts(missing):
            changes = self._changes
            read = await self._store.push_addresses(part)
            found |= read
            if changes == self._changes:
                self._known |= read
                while len(self._known) > self._size:
                    self._known.popitem(last=False)
        return found

    def peek(self, user: str) -> PushAddress | None:
        return self._known.get(user)

    def forget(self, user: str) -> None:
        """It changed."""
        self._changes += 1
        self._known.pop(user, None)

    def forget_all(self) -> None:
        self._changes += 1
        self._known.clear()


def parts(users: Sequence[str]) -> Iterator[list[str]]:
    """Few enough for one read."""
    rest = iter(users)
    while part := list(islice(rest, AT_ONCE)):
        yield part

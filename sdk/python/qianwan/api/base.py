"""What every group of calls stands on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

T = TypeVar("T")


class Caller(Protocol):
    """A client, as far as calls need it."""

    async def call(
        self, method: str, args: dict[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any: ...


def given(**fields: Any) -> dict[str, Any]:
    """The arguments that were given: None means "not said"."""
    return {name: value for name, value in fields.items() if value is not None}


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Sequence[T], Generic[T]):
    """A part of a list. `more` says whether there is more, whatever this part holds (it may be empty), and
    `next` where to go on: the method that gave the page takes it, under the name its text says.
    """

    items: tuple[T, ...]
    more: bool = False
    next: Any = None

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


def itself(row: T) -> T:
    return row


def page(
    result: Mapping[str, Any],
    rows: str,
    *,
    next: str = "",
    last: Callable[[Any], Any] | None = None,
    limit: int = 0,
    read: Callable[[Any], T] = itself,
) -> Page[T]:
    """A result as a Page. `next` names its member that says where to go on; without one, `last` makes it out
    of the last row. A `rest` is what was asked for by name and did not fit. Where the service does not say
    `more`, a page of `limit` rows has more behind it.
    """
    found = list(result[rows])
    following = result.get(next) if next else None
    if following in (None, "") and last is not None and found:
        following = last(found[-1])
    more = bool(result.get("more", 0 < limit <= len(found)))
    if "rest" in result:
        following = list(result["rest"])
        more = bool(following)
    return Page(tuple(read(row) for row in found), more, following)

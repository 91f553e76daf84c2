"""Lists that end by bytes: what an answer has no room for comes with the next page.

Counts alone bound nothing, since other people choose how long the lines of a list are. Every method that
answers a list builds it here; what cannot be cut and is too long is refused (`calls.encode_answer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from frame.constants import MAX_BODY
from im_service.errors import Code, ImError
from im_service.models import encode

T = TypeVar("T")

MAX_ANSWER = MAX_BODY - 64
"""Bytes of an encoded answer or event: a frame's body without its head."""


def fit(items: Iterable[T], room: int) -> tuple[list[T], bool]:
    """The first items that take at most `room` bytes as msgpack, and whether some were left out. One always
    goes out: no item is longer than an answer."""
    found: list[T] = []
    for item in items:
        room -= len(encode(item))
        if found and room < 0:
            return found, True
        found.append(item)
    return found, False


def parts(items: Sequence[T], room: int) -> Iterator[list[T]]:
    """All items, in lists that fit. One empty list for no items."""
    at = 0
    while True:
        found, more = fit(items[at:], room)
        yield found
        if not more:
            return
        at += len(found)


class Cursor(NamedTuple):
    """Where a page of changes ends. `cursor` may be kept: nothing up to it is missing. `after` is not empty
    when the page ended among changes that share a number, or that are not final; it goes with the next call.
    """

    cursor: int
    after: str
    more: bool


def fit_changes(
    lines: Sequence[T],
    key: Callable[[T], tuple[int, str]],
    shown: Callable[[T], object],
    room: int,
    asked: Cursor,
    found: Cursor,
) -> tuple[list[T], Cursor]:
    """A page of changes, cut by bytes. `key`: number and name of the changed thing; `asked`: what the caller
    had; `found`: as far as the store's page is final and whole."""
    highest = found.cursor
    rest = sorted(lines, key=key)
    if asked.after:
        number, ceiling, name = _position(asked.after)
        highest = min(highest, ceiling)
        rest = [line for line in rest if key(line) > (number, name)]
    kept, cut = fit((shown(line) for line in rest), room)
    head = rest[: len(kept)]
    if not cut:
        return head, Cursor(highest, "", found.more)
    last, following = key(head[-1]), key(rest[len(kept)])
    whole = [key(line)[0] for line in lines if key(line)[0] < following[0]]
    done = min(highest, max([asked.cursor, *whole]))
    if last[0] == done:
        return head, Cursor(done, "", True)
    return head, Cursor(done, f"{last[0]}:{highest}:{last[1]}", True)


def _position(after: str) -> tuple[int, int, str]:
    number, _, rest = after.partition(":")
    ceiling, _, name = rest.partition(":")
    try:
        return int(number), int(ceiling), name
    except ValueError:
        raise ImError(Code.INVALID, "after is what the page before said") from None


def number(told: str) -> int:
    """A number of the store, out of a place that an answer told. 414"""
    if told.isascii() and told.isdigit() and int(told) < 1 << 63:
        return int(told)
    raise ImError(Code.INVALID, "a page goes on as the page before said")

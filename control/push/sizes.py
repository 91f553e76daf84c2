"""As much of a text as a vendor takes: JSON of a bounded number of bytes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import msgspec

ELLIPSIS = "…"
JOINER = "\u200d"
_encode = msgspec.json.Encoder().encode


def fitted(make: Callable[[str], object], text: str, limit: int) -> bytes | None:
    """JSON of `make(text)` in at most `limit` bytes, with as much of the text as fits; None: not even without
    any of it. Cut before a character as people see it, and told by an ellipsis."""
    whole = _encode(make(text))
    if len(whole) <= limit:
        return whole
    room = limit - len(_encode(make(ELLIPSIS)))
    if room < 0:
        bare = _encode(make(""))
        return bare if len(bare) <= limit else None
    return _encode(make(text[: _cut(text, room)] + ELLIPSIS))


def _cut(text: str, room: int) -> int:
    """How many characters have at most so many bytes in JSON, and end where one ends that people see."""
    for at, letter in enumerate(text):
        room -= len(_encode(letter)) - 2
        if room < 0:
            while at and _joined(text, at):
                at -= 1
            return at
    return len(text)


def _joined(text: str, at: int) -> bool:
    """Whether text[at] and the one before it are one character: accents, variants, skins, joined pictures,
    halves of a flag."""
    here, before = text[at], text[at - 1]
    if JOINER in (here, before) or unicodedata.category(here) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= here <= "\U0001f3ff":
        return True
    if _flag(here) and _flag(before):
        start = at
        while start and _flag(text[start - 1]):
            start -= 1
        return (at - start) % 2 == 1
    return False


def _flag(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"

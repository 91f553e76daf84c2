"""What went badly with an endpoint, as its readers hand it on: the next one begins where the last one was.

Only time in which a reader ran is counted, by a clock that nobody sets: what an endpoint was paused for, or
nobody was there to deliver, is not its failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

REFUSED_MOST = 100
"""Refused events that are handed on. Beyond: those refused for the shortest time begin anew."""

_Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class Refused(NamedTuple):
    """Of one event: for how long, and how often."""

    ms: _Count
    times: _Count


class Trouble(NamedTuple):
    """`failing_ms`: since the last good answer, None: it was good. `refused`: by event id."""

    failing_ms: int | None = None
    refused: Mapping[str, Refused] = MappingProxyType({})

    def like(self, other: Trouble) -> bool:
        """The same but for the times."""
        same = (self.failing_ms is None) == (other.failing_ms is None)
        return same and self.refused.keys() == other.refused.keys()


NO_TROUBLE = Trouble()


class _Note(Struct, omit_defaults=True):
    begun: _Count = 0
    failing_ms: _Count | None = None
    refused: Annotated[dict[str, Refused], Meta(max_length=REFUSED_MOST)] = {}


def to_note(trouble: Trouble, begun: int) -> bytes:
    """`begun`: since when the endpoint is judged. b"" where there is no trouble."""
    if trouble == NO_TROUBLE:
        return b""
    return msgspec.json.encode(_Note(begun, trouble.failing_ms, dict(trouble.refused)))


def from_note(note: bytes, begun: int) -> Trouble:
    """None of what was before `begun`. Raises ValueError for what another version wrote."""
    if not note:
        return NO_TROUBLE
    found = msgspec.json.decode(note, type=_Note)
    return Trouble(found.failing_ms, found.refused) if found.begun == begun else NO_TROUBLE

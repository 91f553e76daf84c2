"""Whether the lines of a trail still are what was written."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from control.audit.entry import GENESIS, NOWHERE, Place, decode, hash_of
from control.audit.log import LOCK, UNREADABLE, Damaged, heads, segments, tail


class Verdict(Struct, kw_only=True):
    """`problem` "" when all is as it was written. `last` is an anchor to keep elsewhere."""

    problem: str
    first: int
    entries: int
    last: str


class Broken(Exception):
    """The chain does not hold; the text says where."""


def verify(folder: Path, anchors: Sequence[Place] = ()) -> Verdict:
    """Read every line that is kept. `anchors` are places that somebody kept elsewhere: without one, and with
    a `tail` that was changed too, nobody can miss what was cut off the end. What is wrong while a server
    writes is looked at again while it may not.
    """
    found = _read(folder, anchors)
    if not found.problem:
        return found
    with _unwritten(folder):
        return _read(folder, anchors)


@contextlib.contextmanager
def _unwritten(folder: Path) -> Iterator[None]:
    """Nobody writes meanwhile, where there is a lock."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            file = held.enter_context((folder / LOCK).open("rb"))
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _read(folder: Path, anchors: Sequence[Place]) -> Verdict:
    first, last, entries, problem = 0, NOWHERE, 0, ""
    try:
        wanted = {place.seq: place.hash for place in known(folder)}
        wanted |= {place.seq: place.hash for place in anchors}
        for place in chained(folder):
            first = first or place.seq
            last, entries = place, entries + 1
            if wanted.pop(place.seq, place.hash) != place.hash:
                raise Broken(f"line {place.seq} is not the one that was written")
        for seq, known_hash in sorted(wanted.items()):
            if seq > last.seq:
                raise Broken(f"the end is cut off: lines {last.seq + 1} to at least {seq} are gone")
            if not entries or seq < first:
                _gone_with_its_head(folder, seq, known_hash)
        if entries and tail(folder) is None:
            raise Broken("the file tail is gone or damaged: nobody can tell whether the end was cut off")
    except (Broken, Damaged, OSError) as error:
        problem = str(error)
    return Verdict(problem=problem, first=first, entries=entries, last=str(last) if entries else "")


def known(folder: Path) -> list[Place]:
    """What the folder itself remembers of its lines."""
    found = [Place(head.last, head.hash) for head in heads(folder)]
    end = tail(folder)
    return [*found, end] if end is not None else found


def chained(folder: Path) -> Iterator[Place]:
    """Every kept line in order. Raises Broken at the first that does not follow the one before."""
    before: Place | None = None
    told = {head.last: head.hash for head in heads(folder)}
    for path in segments(folder):
        start = int(path.stem)
        if before is None:
            if start != 1 and start - 1 not in told:
                raise Broken(f"the lines before {start} are gone, and no head tells of them")
            before = Place(start - 1, told.get(start - 1, GENESIS))
        elif start != before.seq + 1:
            raise Broken(f"lines {before.seq + 1} to {start - 1} are gone")
        content = path.read_bytes()
        if not content.endswith(b"\n") and content:
            raise Broken(f"line {_lines(content) + start} of {path.name} has no end")
        for line in content.split(b"\n")[:-1]:
            before = _followed(before, line, path.name)
            yield before


def _followed(before: Place, line: bytes, name: str) -> Place:
    try:
        entry = decode(line)
    except UNREADABLE as error:
        raise Broken(f"line {before.seq + 1} in {name} is no entry: {error}") from None
    if entry.seq > before.seq + 1:
        raise Broken(f"lines {before.seq + 1} to {entry.seq - 1} are gone from {name}")
    if entry.seq != before.seq + 1:
        raise Broken(f"line {entry.seq} in {name} stands where {before.seq + 1} belongs")
    if entry.prev != before.hash:
        raise Broken(f"line {before.seq} was changed: {entry.seq} in {name} was written after another one")
    return Place(entry.seq, hash_of(line))


def _gone_with_its_head(folder: Path, seq: int, known_hash: str) -> None:
    """A line of a segment that made room for later ones."""
    told = {head.last: head.hash for head in heads(folder)}
    if told.get(seq, known_hash) != known_hash:
        raise Broken(f"line {seq}, which is no longer kept, was another one than its head says")


def _lines(content: bytes) -> int:
    return content.count(b"\n")

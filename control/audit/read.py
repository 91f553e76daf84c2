"""Reading a trail, newest first, a page at a time."""

from __future__ import annotations

from pathlib import Path

from control.audit.entry import Entry, decode
from control.audit.log import UNREADABLE, segments

SEGMENTS_A_PAGE = 2
"""A page reads so many at most, whatever is looked for in them."""


def page(folder: Path, before: int, limit: int, what: str = "", who: str = "") -> tuple[list[Entry], int]:
    """Entries below `before` (0: the newest), of operations that begin with `what`, by this key or user; and
    what to give as `before` for the next page, 0: there is none. Lines that nobody wrote so are passed over:
    `verify` names them.
    """
    found: list[Entry] = []
    looked = 0
    paths = [path for path in segments(folder) if not before or int(path.stem) < before]
    for path in reversed(paths):
        if looked == SEGMENTS_A_PAGE:
            return found, int(path.stem) + _lines(path)
        looked += 1
        for line in reversed(path.read_bytes().split(b"\n")):
            try:
                entry = decode(line)
            except UNREADABLE:
                continue
            if (before and entry.seq >= before) or not entry.what.startswith(what):
                continue
            if who and entry.who != who:
                continue
            found.append(entry)
            if len(found) == limit:
                return found, entry.seq if entry.seq > int(paths[0].stem) else 0
    return found, 0


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")

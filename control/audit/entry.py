"""One line of the audit log, and how lines hang together: each holds the hash of the one before."""

from __future__ import annotations

import hashlib
import re
from typing import TypeAlias

import msgspec
from msgspec import Struct

BEGUN, DONE = "begun", "done"
"""Outcomes. An entry that is begun is followed by one that says how it ended, unless the process died between
them: then nobody knows. Others: `refused <why>`, `failed <why>`."""
GENESIS = "0" * 64
"""The hash before the first line."""
OPERATORS, APPS, REFUSALS = "operators", "apps", "refusals"
TRAILS = (OPERATORS, APPS, REFUSALS)
"""Chains of their own, so that neither what app servers do a thousand times an hour nor what those try who
may not pushes out what operators did.
"""
LINE_BYTES = 16 << 10
"""Longest line. Beyond: the ids are known by their size and hash, and texts are cut."""
FRAME_BYTES = 256
"""Of a line, beside what is said: number, hash, time, how it ended."""
TEXT_CHARS = 128
ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")

Id: TypeAlias = str | int | float | bool
Ids: TypeAlias = dict[str, Id | list[Id]]
"""What was changed, and to what: ids, numbers, switches and words of a list, never a text, which may be
private.
"""


class Words(Struct, kw_only=True, omit_defaults=True):
    """What is said of a change. `who` is the id of the API key, or the user of the system who ran a command;
    `rights` the roles or scopes it had. `before` and `after` are revisions of a document, 0: there was none.
    """

    what: str
    via: str
    """admin, api, cli, start for what a server did by itself, or guard (of canaries of policies)"""
    outcome: str
    who: str = ""
    name: str = ""
    rights: list[str] = []
    address: str = ""
    ids: Ids = {}
    before: int | None = None
    after: int | None = None
    request: str = ""
    begun: int | None = None
    """seq of the entry whose end this is"""


class Entry(Words, kw_only=True, omit_defaults=True):
    """`at`: UTC, RFC 3339."""

    seq: int
    prev: str
    at: str


class Place(Struct, frozen=True):
    """An entry and the hash of its line: who keeps one elsewhere can tell whether all before it stands."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


NOWHERE = Place(0, GENESIS)


def parse_anchor(text: str) -> Place:
    """`<seq>:<hash>`. Raises ValueError."""
    match = ANCHOR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"no anchor, which is <seq>:<64 hex digits>: {text[:80]!r}")
    return Place(int(match[1]), match[2])


def line_of(words: Words, after: Place, at: str) -> tuple[bytes, Place]:
    """The line, with its end, and where the chain is then."""
    line = _encoded(words, after, at)
    if len(line) >= LINE_BYTES:
        line = _encoded(_shortened(words), after, at)
    return line + b"\n", Place(after.seq + 1, hash_of(line))


def room_of(words: Words) -> int:
    """Bytes that a change takes at most: its line before, and the one of how it ended."""
    return 2 * min(LINE_BYTES, len(msgspec.json.encode(words)) + FRAME_BYTES)


def _encoded(words: Words, after: Place, at: str) -> bytes:
    members = {name: getattr(words, name) for name in words.__struct_fields__}
    return msgspec.json.encode(Entry(seq=after.seq + 1, prev=after.hash, at=at, **members))


def _shortened(words: Words) -> Words:
    ids = msgspec.json.encode(words.ids)
    cut = {
        name: value[:TEXT_CHARS]
        for name, value in msgspec.structs.asdict(words).items()
        if isinstance(value, str)
    }
    rights = [text[:TEXT_CHARS] for text in words.rights[:20]]
    return msgspec.structs.replace(
        words, ids={"bytes": len(ids), "sha256": hash_of(ids)}, rights=rights, **cut
    )


def hash_of(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


decode = msgspec.json.Decoder(Entry).decode

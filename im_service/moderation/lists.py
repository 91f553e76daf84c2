"""Lists of words as operators write them, and their bounds."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

import msgspec
import re2
from msgspec import Meta, Struct

from im_service.calls import MAX_SECONDS
from im_service.faults import told
from im_service.moderation.folding import fold

MAX_LISTS = 64
MAX_WORDS = 200_000
"""Of all lists together: 120 MB of a process, 300 with their sounds, and a second to take them in."""
MAX_PATTERNS = 500
"""Of all lists together."""
MAX_PROGRAM = 2_000
"""Steps of a compiled pattern: what each character of a text may cost."""
UNLIKE = "q", "7", "中", "!"
"""Texts that have nothing in common."""
NAME_PATTERN = r"[a-z0-9][a-z0-9_.-]{0,63}"
"""Of the names of lists."""

Kind = Literal["s", "g", "r", "call"]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Label = Annotated[str, Meta(min_length=1, max_length=64)]


class Severity(IntEnum):
    """What follows from a hit; the highest of all hits of a text holds."""

    NOTE = 1  # nothing: it is counted, to try a list out
    MASK = 2  # each letter of it becomes an asterisk
    HOLD = 3  # a message waits until people have decided; what cannot wait is rejected
    REJECT = 4  # the sender is told, nobody else hears anything


ACTIONS = {severity.name.lower(): severity for severity in Severity}


class WordList(Struct, kw_only=True, forbid_unknown_fields=True):
    """`words` are found under every disguise that folding knows. `patterns` are RE2 expressions on the text
    as it was written, without regard to case. What lies within a phrase of `allow` is no hit, of whatever
    list. `kinds`: single chats, groups, chatrooms, and texts of other calls (names, reactions,
    announcements); `types`: types of messages; empty: all. `whole_words` false: Latin and other alphabetic
    words are found inside of longer ones too. `pinyin`: words of Han characters are found too where they are
    spelled in Latin letters or with characters of the same sound; texts without a Latin letter are listened
    to only after their sender had a hit. `text`: what the sender of a rejected text is told; empty: a
    general sentence. `hold_s` and `hold_default`: what becomes of a held message that nobody decided about
    for so long; left out: as the settings say."""

    action: Literal["note", "mask", "hold", "reject"]
    category: Annotated[str, Meta(max_length=64)] = ""
    words: Annotated[list[Word], Meta(max_length=MAX_WORDS)] = []
    patterns: Annotated[list[Annotated[str, Meta(min_length=1, max_length=500)]], Meta(max_length=100)] = []
    allow: Annotated[list[Word], Meta(max_length=10_000)] = []
    kinds: Annotated[list[Kind], Meta(max_length=4)] = []
    types: Annotated[list[Annotated[int, Meta(ge=0, le=255)]], Meta(max_length=32)] = []
    whole_words: bool = True
    pinyin: bool = False
    text: Annotated[str, Meta(max_length=200)] = ""
    hold_s: Annotated[int, Meta(ge=0, le=MAX_SECONDS)] | None = None
    hold_default: Literal["release", "refuse"] | None = None


_decode = msgspec.json.Decoder(WordList).decode


def parse_list(content: bytes) -> WordList:
    """A list from JSON. Raises ValueError that names the member and what is wrong."""
    try:
        found = _decode(content)
    except msgspec.MsgspecError as error:
        raise ValueError(told(error, WordList)) from None
    check_list(found)
    return found


def check_list(words: WordList) -> None:
    """Raises ValueError for what says nothing or cannot be compiled."""
    for member in ("words", "allow"):
        for index, word in enumerate(getattr(words, member)):
            if not fold(word):
                raise ValueError(
                    f"{member}[{index}]: {word!r} has no letter or figure; write it as a pattern"
                )
    for index, pattern in enumerate(words.patterns):
        _check_pattern(pattern, f"patterns[{index}]")


def _check_pattern(pattern: str, where: str) -> None:
    compiled = compile_pattern(pattern, where)
    if compiled.search(b"") is not None:
        raise ValueError(f"{where}: {pattern!r} is found in an empty text")
    if all(compiled.search(text.encode()) for text in UNLIKE):
        raise ValueError(f"{where}: {pattern!r} is found in every text")
    if compiled.programsize > MAX_PROGRAM:
        size = f"has {compiled.programsize} steps, at most {MAX_PROGRAM}"
        raise ValueError(f"{where}: {pattern!r} {size}: repeat less, and smaller things")


def compile_pattern(pattern: str, where: str) -> re2._Regexp[bytes]:
    """A pattern whose cost is linear in the text, for texts in UTF-8. Raises ValueError."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"{where}: {text}") from None

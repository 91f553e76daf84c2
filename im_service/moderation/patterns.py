"""Finds the patterns of lists in the texts of a message."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from time import thread_time

from im_service.moderation.forms import LookBudget, Overfull
from im_service.moderation.lists import WordList, compile_pattern

MOST_APART = 1_000
"""Texts times patterns that are looked at one by one; of more, texts are looked at together first."""
MAX_PATTERNS_MS = 20
"""What those of one list may take of a processor for a long text; ordinary ones take a tenth of one each."""
PROBE = 5_000
"""Characters of such a text."""
ALONE = 16
"""Characters of a pattern of each of which there is a text."""

_of_whole_texts = re.compile(r"\\[Az]|\(\?[a-zA-Z]*-").search
"""Does a pattern ask for the ends of a text in a way that lines cannot stand for?"""


class Pattern:
    """One of a list. What it finds side by side is one span."""

    __slots__ = ("_apart", "_together", "list", "word")

    def __init__(self, name: str, pattern: str, where: str) -> None:
        self.list = name
        self.word = pattern
        try:
            self._apart = compile_pattern(f"(?:{pattern})+", where)
        except ValueError:  # it ends in a quotation
            self._apart = compile_pattern(pattern, where)
        alone = _of_whole_texts(pattern) is not None
        self._together = None if alone else compile_pattern(f"(?m){pattern}", where)

    def stands_in(self, lines: bytes) -> bool:
        """Is it perhaps found in one of the texts that are lines here?"""
        return self._together is None or self._together.search(lines) is not None

    def spans(self, text: bytes, work: LookBudget) -> Iterator[tuple[int, int]]:
        """Where it is found, in bytes. Raises Overfull."""
        for match in self._apart.finditer(text):
            start, end = match.span()
            if end > start:
                work.span()
                yield start, end


class Encoded:
    """The texts of a message as patterns look at them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = [text.encode() for text in texts]
        self.lines: bytes | None = None
        self._places: dict[int, list[int]] = {}

    def holders(self, pattern: Pattern, patterns: int, work: LookBudget) -> Sequence[int]:
        """The texts that have to be looked at for it, one of so many patterns, by their index."""
        if len(self.texts) * patterns > MOST_APART:
            if self.lines is None:
                self.lines = b"\n".join(self.texts)
            if not pattern.stands_in(self.lines):
                return ()
            work.search(len(self.texts))
        return range(len(self.texts))

    def place(self, index: int, at: int) -> int:
        """Of a byte of a text, the index of its character."""
        places = self._places.get(index)
        if places is None:
            begins = (byte & 0xC0 != 0x80 for byte in self.texts[index])
            places = self._places[index] = [0, *accumulate(begins)]
        return places[at]


def patterns_of(name: str, patterns: Sequence[str]) -> Iterator[Pattern]:
    """Raises ValueError."""
    for index, pattern in enumerate(patterns):
        yield Pattern(name, pattern, f"{name}: patterns[{index}]")


def check_worth(words: WordList) -> None:
    """Raises ValueError for what can only be a mistake, of a list to be published: it is empty, or its
    patterns keep every message waiting. Takes a moment: not on the loop."""
    if not (words.words or words.patterns or words.allow):
        raise ValueError("the list is empty: drop it where nothing is to be judged by it")
    spent = 0.0
    for index, pattern in enumerate(words.patterns):
        where = f"patterns[{index}]"
        spent += _cost_ms(Pattern("", pattern, where), pattern)
        if spent > MAX_PATTERNS_MS:
            cost = (
                f"{spent:.0f} ms of a processor for a text of {PROBE} characters, at most {MAX_PATTERNS_MS}"
            )
            raise ValueError(f"{where}: with {pattern!r} they take {cost}: repeat less")


def _cost_ms(pattern: Pattern, written: str) -> float:
    """Of the search that a message has to wait for, in the worst of some texts, made of the pattern's own
    characters or of others. More than it may cost is told as soon as it is seen."""
    own = sorted({*written, "a"} - {each for each in written if not each.isalnum()}, key=_letters_first)
    chance = random.Random(written)
    texts = ["中" * PROBE, "".join(chance.choices(own, k=PROBE)), *(each * PROBE for each in own[:ALONE])]
    worst = 0.0
    for text in texts:
        encoded = text.encode()
        before = thread_time()
        with suppress(Overfull):
            for _ in pattern.spans(encoded, LookBudget()):
                pass
        worst = max(worst, (thread_time() - before) * 1000)
        if worst > MAX_PATTERNS_MS:
            break
    return worst


def _letters_first(character: str) -> tuple[bool, str]:
    return not character.isalpha(), character

"""Finds the words of all lists in a text, in one pass over its folded form."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import re2
from ahocorasick_rs import AhoCorasick

from im_service.moderation.folding import fold, fold_with_places, is_alphabetic
from im_service.moderation.lists import (
    ACTIONS,
    MAX_LISTS,
    MAX_PATTERNS,
    MAX_WORDS,
    Severity,
    WordList,
    compile_pattern,
)
from im_service.moderation.sounds import has_latin, is_han_alone, sound, sound_with_places

MASK = "*"
MACHINE = 100_000
"""Words of one machine. The library makes one without letting anything else of the process run, for half a
second; each machine more makes every search longer, by two microseconds."""
SMALL = 2_000
"""Words of a list that shares its machines with others."""


class Hit(NamedTuple):
    """A word of a list, and where it stands: text[start:end]."""

    list: str
    category: str
    action: Severity
    word: str
    start: int
    end: int


class _Entry(NamedTuple):
    list: str
    word: str
    allow: bool


class _Forms:
    """Words by a form of theirs, all found in one pass over each of a few machines."""

    def __init__(self) -> None:
        self._entries: dict[str, list[_Entry]] = {}
        self._small: list[str] = []
        self._large: list[list[str]] = []
        self._machines: dict[tuple[str, ...], AhoCorasick] = {}

    def add(self, words: Iterable[tuple[str, _Entry]]) -> None:
        """Those of one list."""
        own: list[str] = []
        for form, entry in words:
            if form not in self._entries:
                own.append(form)
                self._entries[form] = []
            self._entries[form].append(entry)
        if len(own) < SMALL:
            self._small += own
        else:
            self._large.append(own)

    def compile(self, before: _Forms | None) -> None:
        """Machines that are the same as before are taken over."""
        known = before._machines if before is not None else {}
        for forms in (self._small, *self._large):
            for first in range(0, len(forms), MACHINE):
                part = tuple(forms[first : first + MACHINE])
                self._machines[part] = known.get(part) or AhoCorasick(list(part))
        self._small, self._large = [], []

    def find(self, text: str) -> list[tuple[Sequence[_Entry], int, int]]:
        """(whose it is, start, end) of each form, overlapping ones too."""
        return [
            (self._entries[forms[index]], start, end)
            for forms, machine in self._machines.items()
            for index, start, end in machine.find_matches_as_indexes(text, overlapping=True)
        ]

    def __bool__(self) -> bool:
        return bool(self._machines)


class Matcher:
    """Compiled lists; never changed, so that a text is looked at by one set of them. Making one of 100,000
    words takes a second or more: not on the loop. What is the same as in `before` is taken over. Raises
    ValueError beyond the bounds of lists together."""

    def __init__(self, lists: Mapping[str, WordList], before: Matcher | None = None) -> None:
        self.lists = dict(lists)
        self.words = sum(len(each.words) + len(each.allow) for each in lists.values())
        patterns = sum(len(each.patterns) for each in lists.values())
        for found, most, what in (
            (len(lists), MAX_LISTS, "lists"),
            (self.words, MAX_WORDS, "words"),
            (patterns, MAX_PATTERNS, "patterns"),
        ):
            if found > most:
                raise ValueError(f"{found} {what}, at most {most} in all lists together")
        self._spelled, self._heard = _Forms(), _Forms()
        self._patterns: list[tuple[str, str, re2._Regexp[str]]] = []
        for name, each in sorted(lists.items()):
            self._add(name, each)
        self._spelled.compile(None if before is None else before._spelled)
        self._heard.compile(None if before is None else before._heard)

    def _add(self, name: str, words: WordList) -> None:
        spelled = [(fold(word), _Entry(name, word, False)) for word in words.words]
        self._spelled.add(spelled)
        self._spelled.add((fold(word), _Entry(name, word, True)) for word in words.allow)
        if words.pinyin:
            self._heard.add((sound(form), entry) for form, entry in spelled if is_han_alone(form))
        for index, pattern in enumerate(words.patterns):
            where = f"{name}: patterns[{index}]"
            self._patterns.append((name, pattern, compile_pattern(pattern, where)))

    def __bool__(self) -> bool:
        return bool(self.lists)

    def find(self, text: str, kind: str = "", type: int | None = None, suspect: bool = False) -> list[Hit]:
        """Every hit of a list that looks at this kind of conversation and type of message, in order of place.
        `suspect`: listen to how it sounds whatever it looks like."""
        form = fold(text)
        found = self._spelled.find(form)
        hits, allowed = self._spelled_hits(text, found, kind, type) if found else ([], [])
        if self._heard and (suspect or has_latin(form)) and self._heard.find(sound(form)):
            hits += self._heard_hits(text, kind, type)
        for name, pattern, expression in self._patterns:
            if self._looks(name, kind, type):
                hits += [
                    self._hit(name, pattern, *match.span())
                    for match in expression.finditer(text)
                    if match.end() > match.start()
                ]
        if allowed:
            hits = _not_within(hits, allowed)
        return sorted(set(hits), key=lambda hit: (hit.start, hit.end, hit.list, hit.word))

    def _looks(self, name: str, kind: str, type: int | None) -> bool:
        words = self.lists[name]
        return (not kind or not words.kinds or kind in words.kinds) and (
            type is None or not words.types or type in words.types
        )

    def _hit(self, name: str, word: str, start: int, end: int) -> Hit:
        words = self.lists[name]
        return Hit(name, words.category, ACTIONS[words.action], word, start, end)

    def _spelled_hits(
        self, text: str, found: list[tuple[Sequence[_Entry], int, int]], kind: str, type: int | None
    ) -> tuple[list[Hit], list[tuple[int, int]]]:
        hits: list[Hit] = []
        allowed: list[tuple[int, int]] = []
        _, places = fold_with_places(text)
        for entries, first, behind in found:
            start, end = places[first], places[behind - 1] + 1
            whole = stands_alone(text, start, end)
            for entry in entries:
                if entry.allow:
                    allowed.append((start, end))
                elif (whole or not self.lists[entry.list].whole_words) and self._looks(
                    entry.list, kind, type
                ):
                    hits.append(self._hit(entry.list, entry.word, start, end))
        return hits, allowed

    def _heard_hits(self, text: str, kind: str, type: int | None) -> list[Hit]:
        said, places, begins = sound_with_places(text)
        hits: list[Hit] = []
        for entries, first, behind in self._heard.find(said):
            if not begins[first] or not (behind == len(said) or begins[behind]):
                continue  # in the middle of a syllable of a Han character
            start, end = places[first], places[behind - 1] + 1
            if not stands_alone(text, start, end):
                continue
            hits += [
                self._hit(entry.list, entry.word, start, end)
                for entry in entries
                if self._looks(entry.list, kind, type)
            ]
        return hits


def _not_within(hits: Sequence[Hit], allowed: Sequence[tuple[int, int]]) -> list[Hit]:
    """Those within no allowed phrase; a text may hold thousands of both."""
    phrases = sorted(allowed)
    starts = [start for start, _ in phrases]
    ends = list(accumulate((end for _, end in phrases), max))  # of all that begin so early
    left: list[Hit] = []
    for hit in hits:
        before = bisect_right(starts, hit.start)
        if not before or ends[before - 1] < hit.end:
            left.append(hit)
    return left


def stands_alone(text: str, start: int, end: int) -> bool:
    """Is text[start:end] no part of a longer word? Scripts without gaps between words have no such parts."""
    if start and is_alphabetic(text[start]) and is_alphabetic(text[start - 1]):
        return False
    return not (end < len(text) and is_alphabetic(text[end - 1]) and is_alphabetic(text[end]))


def masked(text: str, hits: Sequence[Hit]) -> str:
    """The text with an asterisk for each letter of the hits that mask; what separates them stays."""
    letters = list(text)
    for hit in hits:
        if hit.action == Severity.MASK:
            for place in range(hit.start, hit.end):
                if fold(letters[place]):
                    letters[place] = MASK
    return "".join(letters)

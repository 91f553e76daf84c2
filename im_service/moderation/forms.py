"""Words by a form of theirs, found in one pass over a text, at a cost that the text and a bound decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick

MACHINE = 100_000
"""Words of one machine. The library makes one without letting anything else of the process run, for half a
second; each machine more makes every search longer, by two microseconds."""
SMALL = 2_000
"""Words of a list that shares its machines with others."""
NESTED = 16
"""Words of one machine of which each is the end of the next: as many as may end at one character."""
WINDOW = 512
"""Characters of a text that a machine looks at before the bound is: it tells all that it finds at once. As
many as its longest word has, where that is longer, for so many it has to look at twice."""
MOST_MATCHES = 10_000
"""Of words in the texts of a message, at whatever place and however they overlap."""
MOST_PASSED = 40_000
"""Words that are found and do not count: of lists that do not look, or told before."""
MOST_SEARCHES = 5_000
"""For a pattern in one text of a message."""
MOST_SPANS = 1_000
"""Matches of patterns in the texts of a message: each costs microseconds."""


class Overfull(Exception):
    """The texts hold more than is looked at."""


class LookBudget:
    """What looking at the texts of one message may still cost. Raises Overfull."""

    __slots__ = ("matches", "passed", "searches", "spans")

    def __init__(self) -> None:
        self.matches = MOST_MATCHES
        self.passed = MOST_PASSED
        self.searches = MOST_SEARCHES
        self.spans = MOST_SPANS

    def match(self, count: int, passed: int) -> None:
        self.matches -= count
        self.passed -= passed
        if self.matches < 0 or self.passed < 0:
            raise Overfull

    def search(self, count: int) -> None:
        self.searches -= count
        if self.searches < 0:
            raise Overfull

    def span(self) -> None:
        self.spans -= 1
        if self.spans < 0:
            raise Overfull


class ListedWord(NamedTuple):
    """A word, and the list that it is of."""

    list: str
    word: str


class _Machine(NamedTuple):
    forms: tuple[str, ...]
    longest: int
    machine: AhoCorasick


class _Counting(dict[str, bool]):
    """Is this form a word of a list that looks? Filled as words are found."""

    def __init__(self, entries: Mapping[str, list[ListedWord]], looking: frozenset[str] | None) -> None:
        self._entries = entries
        self._looking = looking

    def __missing__(self, form: str) -> bool:
        looking = self._looking
        found = self[form] = looking is None or any(each.list in looking for each in self._entries[form])
        return found


class Forms:
    """Filled with `add`, then compiled once."""

    def __init__(self) -> None:
        self.entries: dict[str, list[ListedWord]] = {}
        self._small: list[str] = []
        self._large: list[list[str]] = []
        self.machines: list[_Machine] = []

    def add(self, words: Iterable[tuple[str, ListedWord]]) -> None:
        """Those of one list."""
        own: list[str] = []
        for form, entry in words:
            if form not in self.entries:
                own.append(form)
                self.entries[form] = []
            self.entries[form].append(entry)
        if len(own) < SMALL:
            self._small += own
        else:
            self._large.append(own)

    def compile(self, before: Forms | None) -> None:
        """Machines that are the same as before are taken over."""
        known = {each.forms: each for each in before.machines} if before is not None else {}
        for forms in (self._small, *self._large):
            for level in _by_nesting(forms):
                for first in range(0, len(level), MACHINE):
                    part = tuple(level[first : first + MACHINE])
                    self.machines.append(
                        known.get(part) or _Machine(part, max(map(len, part)), AhoCorasick(list(part)))
                    )
        self._small, self._large = [], []

    def find(
        self, text: str, work: LookBudget, looking: frozenset[str] | None = None
    ) -> Iterator[list[tuple[str, int, int]]]:
        """(form, start, end) of each, overlapping ones too, some at a time, of lists that look (None: all).
        Raises Overfull."""
        counts = _Counting(self.entries, looking)
        for forms, longest, machine in self.machines:
            window = max(WINDOW, longest)
            for done in range(0, len(text), window):
                start = max(0, done - longest + 1)
                found = machine.find_matches_as_indexes(text[start : done + window], overlapping=True)
                told = [
                    (forms[index], start + first, start + behind)
                    for index, first, behind in found
                    if start + behind > done and counts[forms[index]]  # the others were told before
                ]
                work.match(len(told), len(found) - len(told))
                if told:
                    yield told

    def __bool__(self) -> bool:
        return bool(self.machines)


def _by_nesting(forms: list[str]) -> Iterator[list[str]]:
    """The words in parts, in each of which at most NESTED end at one character."""
    above: list[str] = []
    depths: dict[str, int] = {}
    for backwards in sorted(form[::-1] for form in forms):
        while above and not backwards.startswith(above[-1]):
            above.pop()
        depths[backwards[::-1]] = len(above) // NESTED
        above.append(backwards)
    for _, level in groupby(sorted(forms, key=depths.__getitem__), key=depths.__getitem__):
        yield list(level)

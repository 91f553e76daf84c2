"""What was found in the texts of a message: hits that count, what they ask for, what has to be masked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from im_service.moderation.folding import alphabetic, fold, without_flags
from im_service.moderation.forms import ListedWord
from im_service.moderation.lists import ACTIONS, Severity, WordList

MASK = "*"
MOST_SHOWN = 1_000
"""Hits that are told one by one."""


class Hit(NamedTuple):
    """A word of a list, and where it stands: text[start:end]."""

    list: str
    category: str
    action: Severity
    word: str
    start: int
    end: int


class Findings:
    """Filled by a look at texts that lie behind each other, one character apart; `starts` says where each
    begins. `looking`: the lists that look. `actions`: those with a hit. `overfull`: the texts hold more than
    is looked at. Where `shown` is given it gets each hit, of the first MOST_SHOWN."""

    def __init__(
        self,
        lists: Mapping[str, WordList],
        looking: frozenset[str],
        texts: Sequence[str],
        shown: list[Hit] | None,
    ) -> None:
        self.looking = looking
        self.starts = [0, *accumulate(len(text) + 1 for text in texts)]
        self.actions: dict[str, Severity] = {}
        self.overfull = False
        self.done = False
        self._lists = lists
        self._texts = texts
        self._shown = shown
        self._spans: list[tuple[int, int]] = []
        self._reach: list[int] = []
        self._alphabetic = ""
        self._known: dict[tuple[str, bool, bool], bool] = {}

    def allow(self, phrases: Iterable[tuple[int, int]]) -> None:
        """What lies within one of these is no hit. Comes before hits do."""
        reach = [0] * self.starts[-1]
        for start, end in phrases:
            reach[start] = max(reach[start], end)
        self._reach = list(accumulate(reach, max))

    def add_form(
        self, form: str, entries: Sequence[ListedWord], start: int, end: int, sound: bool = False
    ) -> None:
        """A word of some lists, as it is spelled, or as it sounds."""
        if self._reach and self._reach[start] >= end:
            return
        whole = self._stands_alone(start, end)
        if sound and not whole:
            return
        masks = self._known.get((form, whole, sound))
        if masks is None:
            entries = [
                each
                for each in entries
                if each.list in self.looking and (whole or not self._lists[each.list].whole_words)
            ]
            for entry in entries:
                self._take(entry.list, entry.word, start, end)
            if self._shown is None:  # the same word asks for no more than the first time, but for its mask
                self._known[form, whole, sound] = any(self._masks(each.list) for each in entries)
        elif masks:
            self._spans.append((start, end))

    def add(self, name: str, word: str, start: int, end: int) -> None:
        """What a pattern of a list found."""
        if not (self._reach and self._reach[start] >= end):
            self._take(name, word, start, end)

    def enough_of(self, name: str) -> bool:
        """Would another hit of this list change nothing?"""
        return self._shown is None and name in self.actions and not self._masks(name)

    def _masks(self, name: str) -> bool:
        return self._lists[name].action == "mask"

    def _take(self, name: str, word: str, start: int, end: int) -> None:
        words = self._lists[name]
        action = self.actions[name] = ACTIONS[words.action]
        if action == Severity.MASK:
            self._spans.append((start, end))
        if self._shown is None:
            self.done = self.done or action == Severity.REJECT
        elif len(self._shown) < MOST_SHOWN:
            at = self.starts[bisect_right(self.starts, start) - 1]
            self._shown.append(Hit(name, words.category, action, word, start - at, end - at))

    def _stands_alone(self, start: int, end: int) -> bool:
        """Is it no part of a longer word? Scripts without gaps between words have no such parts."""
        if not self._alphabetic:
            self._alphabetic = f"{alphabetic(chr(0).join(self._texts))}0"
        flags = self._alphabetic
        if start and flags[start] == flags[start - 1] == "1":
            return False
        return not (flags[end - 1] == flags[end] == "1")

    def severest(self) -> tuple[str, Severity] | None:
        """The list that decides, and what follows. Texts that hold too much are rejected, where a list that
        looks at them does more than to count: what was not looked at might hold whatever is in it."""
        actions = self.actions
        if self.overfull:
            actions = {name: ACTIONS[self._lists[name].action] for name in sorted(self.looking)}
        if not actions:
            return None
        name = max(actions, key=actions.__getitem__)
        if self.overfull and actions[name] > Severity.NOTE:
            return name, Severity.REJECT
        return name, actions[name]

    def changed(self) -> dict[int, str]:
        """The texts that are masked, by their index."""
        spans: dict[int, list[tuple[int, int]]] = {}
        behind = 0
        for start, end in sorted(self._spans):
            start = max(start, behind)
            if start < end:
                index = bisect_right(self.starts, start) - 1
                at = self.starts[index]
                spans.setdefault(index, []).append((start - at, end - at))
                behind = end
        found = {index: masked(self._texts[index], each) for index, each in spans.items()}
        return {index: text for index, text in found.items() if text != self._texts[index]}


def masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with an asterisk for each letter of the spans, which are in order and apart; what separates
    them stays."""
    parts: list[str] = []
    behind = 0
    letters = without_flags(text)
    for start, end in spans:
        parts.append(text[behind:start])
        parts += [MASK if fold(letters[at]) else text[at] for at in range(start, end)]
        behind = end
    parts.append(text[behind:])
    return "".join(parts)

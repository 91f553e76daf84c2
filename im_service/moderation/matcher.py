"""Finds the words of all lists in the texts of a message, in one pass over their folded form.

What that costs is bounded by the texts' length and by MOST_MATCHES, MOST_SEARCHES and MOST_SPANS, whatever
the lists say: texts that hold more are not looked at to their end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from im_service.moderation.findings import Findings, Hit
from im_service.moderation.folding import SEPARATOR, fold, fold_with_places
from im_service.moderation.forms import Forms, ListedWord, LookBudget, Overfull
from im_service.moderation.lists import MAX_LISTS, MAX_PATTERNS, MAX_WORDS, WordList
from im_service.moderation.patterns import Encoded, Pattern, patterns_of
from im_service.moderation.sounds import has_latin, is_han_alone, sound, sound_with_places


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
        self.spelled, self.heard, self.allowed = Forms(), Forms(), Forms()
        self.patterns: list[Pattern] = []
        self._looking: dict[tuple[str, int | None], frozenset[str]] = {}
        for name, each in sorted(lists.items()):
            self._add(name, each)
        self.spelled.compile(None if before is None else before.spelled)
        self.heard.compile(None if before is None else before.heard)
        self.allowed.compile(None if before is None else before.allowed)

    def _add(self, name: str, words: WordList) -> None:
        spelled = [(fold(word), ListedWord(name, word)) for word in words.words]
        self.spelled.add(spelled)
        self.allowed.add((fold(word), ListedWord(name, word)) for word in words.allow)
        if words.pinyin:
            self.heard.add((sound(form), entry) for form, entry in spelled if is_han_alone(form))
        self.patterns += patterns_of(name, words.patterns)

    def __bool__(self) -> bool:
        return bool(self.lists)

    def looking(self, kind: str, type: int | None) -> frozenset[str]:
        """The lists that look at this kind of conversation and type of message; empty and None: any."""
        found = self._looking.get((kind, type))
        if found is None:
            found = self._looking[kind, type] = frozenset(
                name
                for name, words in self.lists.items()
                if (not kind or not words.kinds or kind in words.kinds)
                and (type is None or not words.types or type in words.types)
            )
        return found

    def look(
        self,
        texts: Sequence[str],
        kind: str = "",
        type: int | None = None,
        suspect: bool = False,
        shown: list[Hit] | None = None,
    ) -> Findings:
        """What stands in the texts of a message. `suspect`: listen to how they sound whatever they look like.
        `shown` is given each hit; without it nobody looks further where one is found that rejects."""
        findings = Findings(self.lists, self.looking(kind, type), texts, shown)
        look = _Look(self, findings, texts, LookBudget())
        try:
            look.run(suspect)
        except Overfull:
            findings.overfull = True
        return findings

    def find(self, text: str, kind: str = "", type: int | None = None, suspect: bool = False) -> list[Hit]:
        """The hits in one text, in order of place; those that were found where it holds too many."""
        shown: list[Hit] = []
        self.look([text], kind, type, suspect, shown)
        return sorted(set(shown), key=lambda hit: (hit.start, hit.end, hit.list, hit.word))


class _Look:
    """One look at the texts of a message, which lie behind each other."""

    def __init__(self, matcher: Matcher, findings: Findings, texts: Sequence[str], work: LookBudget) -> None:
        self._matcher = matcher
        self._findings = findings
        self._texts = texts
        self._work = work
        self._text = SEPARATOR.join(texts)
        self._form = fold(self._text)
        self._places: Sequence[int] = ()

    def run(self, suspect: bool) -> None:
        """Raises Overfull."""
        self._look_at_words()
        if self._findings.done:
            return
        if self._matcher.heard:
            self._listen(suspect)
        if self._matcher.patterns and not self._findings.done:
            self._look_for_patterns()

    def _look_at_words(self) -> None:
        findings, entries = self._findings, self._matcher.spelled.entries
        for batch in self._matcher.spelled.find(self._form, self._work, findings.looking):
            places = self._ready()
            for form, first, behind in batch:
                findings.add_form(form, entries[form], places[first], places[behind - 1] + 1)
            if findings.done:
                return

    def _ready(self) -> Sequence[int]:
        """Where in the texts each folded letter is from; with the first hit, allowed phrases are sought."""
        if not self._places:
            _, self._places = fold_with_places(self._text)
            if self._matcher.allowed:
                self._allow(self._places)
        return self._places

    def _allow(self, places: Sequence[int]) -> None:
        phrases: list[tuple[int, int]] = []
        with suppress(Overfull):  # those that were not found allow nothing
            for batch in self._matcher.allowed.find(self._form, LookBudget()):
                phrases += [(places[first], places[behind - 1] + 1) for _, first, behind in batch]
        if phrases:
            self._findings.allow(phrases)

    def _listen(self, suspect: bool) -> None:
        """To texts with a Latin letter, or all of a suspect's. The others keep their place."""
        spoken = SEPARATOR.join(
            text if suspect or has_latin(fold(text)) else SEPARATOR * len(text) for text in self._texts
        )
        heard = self._matcher.heard
        looking = self._findings.looking
        if not any(heard.find(sound(fold(spoken)), self._work, looking)):
            return
        self._ready()
        said, places, begins = sound_with_places(spoken)
        for batch in heard.find(said, self._work, looking):
            for form, first, behind in batch:
                if begins[first] and (behind == len(said) or begins[behind]):  # else amid a syllable
                    start, end = places[first], places[behind - 1] + 1
                    self._findings.add_form(form, heard.entries[form], start, end, sound=True)
            if self._findings.done:
                return

    def _look_for_patterns(self) -> None:
        findings, encoded = self._findings, Encoded(self._texts)
        patterns = [each for each in self._matcher.patterns if each.list in findings.looking]
        for pattern in patterns:
            if findings.done:
                return
            if findings.enough_of(pattern.list):
                continue
            for index in encoded.holders(pattern, len(patterns), self._work):
                self._look_for(pattern, encoded, index)
                if findings.enough_of(pattern.list):
                    break

    def _look_for(self, pattern: Pattern, encoded: Encoded, index: int) -> None:
        findings = self._findings
        for first, behind in pattern.spans(encoded.texts[index], self._work):
            self._ready()
            start, end = (findings.starts[index] + encoded.place(index, at) for at in (first, behind))
            findings.add(pattern.list, pattern.word, start, end)
            if findings.enough_of(pattern.list):
                return

"""What a message costs is bounded by its length and by fixed numbers, whatever lists are published."""

from __future__ import annotations

import msgspec
import pytest

from im_service.moderation import forms, matcher
from im_service.moderation.findings import MASK, MOST_SHOWN, Hit
from im_service.moderation.forms import (
    MOST_MATCHES,
    MOST_PASSED,
    MOST_SEARCHES,
    MOST_SPANS,
    NESTED,
    WINDOW,
    LookBudget,
)
from im_service.moderation.judge import REFUSED, Moderation
from im_service.moderation.lists import Severity, WordList
from im_service.moderation.matcher import Matcher
from im_service.ports import SystemClock
from tests.support.noise_peer import seeded

LONGEST = 200
SLACK = NESTED * (WINDOW + LONGEST)
"""What one look of one machine may tell beyond the bound."""
NESTS = ["a" * length for length in range(1, LONGEST)]
HOSTILE = {
    "nested words": ({"words": NESTS}, ["a" * 5000]),
    "nested words inside of words": ({"words": NESTS, "whole_words": False}, ["a" * 20_000]),
    "nested words in many texts": ({"words": NESTS}, ["a" * 100] * 200),
    "nested allowed phrases": ({"words": ["a"], "allow": NESTS, "whole_words": False}, ["a" * 5000]),
    "nested sounds": ({"words": ["行" * n for n in range(2, 60)], "pinyin": True}, ["行" * 5000 + "x"]),
    "patterns in many texts": ({"patterns": [f"a{n}" for n in range(100)]}, ["a", "a99"] * 5000),
    "patterns of whole texts": ({"patterns": [rf"\Aa{n}\z" for n in range(100)]}, ["a"] * 5000),
    "a pattern often": ({"patterns": [r"\d"]}, ["a1" * 5000]),
}


def listed(action: str, **members: object) -> WordList:
    return msgspec.convert({"action": action, **members}, WordList)


class Books:
    """The budgets of a look, to see what was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[LookBudget] = []
        monkeypatch.setattr(matcher, "LookBudget", self._make)

    def _make(self) -> LookBudget:
        self.made.append(LookBudget())
        return self.made[-1]

    def matches(self) -> int:
        return max(MOST_MATCHES - work.matches for work in self.made)

    def others(self) -> int:
        return max(MOST_SEARCHES + MOST_SPANS - work.searches - work.spans for work in self.made)


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> Books:
    return Books(monkeypatch)


@pytest.mark.parametrize(("members", "texts"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("action", ["note", "mask", "hold", "reject"])
def test_no_text_and_no_list_make_more_work_than_the_bound(
    books: Books, action: str, members: dict[str, object], texts: list[str]
) -> None:
    lists = {name: listed(action, **members) for name in ("one", "two")}
    Matcher(lists).look(texts, suspect=True)
    assert books.matches() <= MOST_MATCHES + SLACK
    assert books.others() <= MOST_SEARCHES + MOST_SPANS + len(texts)


def test_an_ordinary_text_is_looked_at_to_its_end(books: Books) -> None:
    words = ["赌", "博", "赌博", "操", "操你", "操你妈", "你妈", "妈", "发票"]
    found = Matcher({"x": WordList(action="mask", words=words)}).look(["赌博" * 1500 + "发票"])
    assert not found.overfull
    assert found.changed() == {0: MASK * 3002}
    assert books.matches() < MOST_MATCHES


def test_nobody_looks_on_behind_a_word_that_is_rejected(books: Books) -> None:
    lists = {"x": WordList(action="reject", words=["赌博"])}
    found = Matcher(lists).look(["赌博" * 2500])
    assert found.severest() == ("x", Severity.REJECT)
    assert books.matches() <= WINDOW


@pytest.mark.parametrize(
    ("actions", "refused"),
    [
        (["note"], ""),
        (["note", "mask"], REFUSED),
        (["hold", "note"], REFUSED),
        (["mask", "reject"], "not here"),
    ],
)
def test_texts_that_hold_too_much_are_rejected_where_a_list_does_more_than_count(
    actions: list[str], refused: str
) -> None:
    """A word behind so many others is not found: what could be in the rest decides."""
    moderation = Moderation(SystemClock())
    lists = {
        action: listed(action, words=NESTS, text="not here" if action == "reject" else "")
        for action in actions
    }
    moderation.use(Matcher({**lists, "rooms": WordList(action="reject", words=["b"], kinds=["r"])}))
    said, changed, holds = moderation._look("ann", "s", 0, [("a" * 5000, True)])
    assert (said, changed, holds) == (refused, {}, None)
    assert moderation._look("ann", "s", 0, [("fine", True)]) == ("", {}, None)


def test_of_hits_so_many_are_shown() -> None:
    shown: list[Hit] = []
    found = Matcher({"x": WordList(action="reject", words=["赌博"])}).look(["赌博" * 2500], shown=shown)
    assert len(shown) == MOST_SHOWN
    assert found.severest() == ("x", Severity.REJECT)


def test_windows_and_levels_find_what_one_search_would(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = seeded()
    monkeypatch.setattr(forms, "WINDOW", 7)
    monkeypatch.setattr(forms, "NESTED", 2)
    for _ in range(200):
        words = sorted({"".join(rng.choices("ab", k=rng.randrange(1, 9))) for _ in range(12)})
        text = "".join(rng.choices("abc", k=rng.randrange(1, 60)))
        expected = {
            (word, at, at + len(word))
            for word in words
            for at in range(len(text))
            if text.startswith(word, at)
        }
        made = forms.Forms()
        made.add((word, forms.ListedWord("x", word)) for word in words)
        made.compile(None)
        told = [hit for batch in made.find(text, LookBudget()) for hit in batch]
        assert len(told) == len(expected)
        assert set(told) == expected


def test_one_long_word_does_not_make_others_count_more() -> None:
    """It is 3,000 letters when it is folded; a window was as long, and so much more."""
    matcher = Matcher({"x": WordList(action="mask", words=["哈", "ﷺ" * 200])})
    for text in ("哈" * 3500, "哈" * 10_000):
        found = matcher.look([text])
        assert not found.overfull
        assert found.changed() == {0: MASK * len(text)}
    assert matcher.look(["哈" * 10_001]).overfull


def test_words_of_lists_that_do_not_look_count_for_nobody(books: Books) -> None:
    lists = {
        "rooms": WordList(action="reject", words=["赌", "博", "赌博"], kinds=["r"], pinyin=True),
        "all": WordList(action="mask", words=["发票"]),
    }
    found = Matcher(lists).look(["赌博" * 6000 + "发票"], "s", suspect=True)
    assert not found.overfull
    assert found.changed() == {0: "赌博" * 6000 + MASK * 2}
    assert books.matches() == 1


def test_what_does_not_count_is_bounded_too(books: Books) -> None:
    lists = {"rooms": WordList(action="reject", words=NESTS, kinds=["r"]), "all": listed("mask", words=["b"])}
    found = Matcher(lists).look(["a " * 20_000], "s")
    assert found.severest() == ("all", Severity.REJECT)
    assert MOST_PASSED - books.made[0].passed <= MOST_PASSED + SLACK


def test_a_word_does_not_reach_from_one_text_into_the_next() -> None:
    matcher = Matcher(
        {"x": WordList(action="mask", words=["ass", "发票"], patterns=["b.c", "^d$"], pinyin=True)}
    )
    assert not matcher.look(["as", "s", "发", "票", "fa", "piao", "b", "c"], suspect=True).actions
    assert matcher.look(["kiss", "ass", "d", "d\n", "bxc"]).changed() == {1: "***", 2: "*", 4: "***"}


def test_texts_are_listened_to_one_by_one() -> None:
    matcher = Matcher({"x": WordList(action="mask", words=["发票"], pinyin=True)})
    assert matcher.look(["text", "发漂"]).changed() == {}, "the Latin letters are of another text"
    assert matcher.look(["text", "a发漂"]).changed() == {1: "a**"}


def test_patterns_find_the_same_in_many_texts_as_in_one() -> None:
    rng = seeded()
    patterns = ["^a", "b$", r"\bc+\b", "a[^b]c", r"\Ad\z", "(?s)b.c", r"(?i:e)\B"]
    matcher = Matcher({"x": WordList(action="mask", patterns=patterns)})
    texts = ["".join(rng.choices("abcde é\n", k=rng.randrange(0, 6))) for _ in range(300)]
    assert len(texts) * len(patterns) > 1_000, "or they are looked at one by one"
    apart = {index: found[0] for index, text in enumerate(texts) if (found := matcher.look([text]).changed())}
    assert apart
    assert matcher.look(texts).changed() == apart

"""Words of lists are found under what people do to hide them, and nowhere else."""

from __future__ import annotations

import unicodedata

import pytest

from im_service.moderation.folding import fold, fold_with_places
from im_service.moderation.lists import MAX_WORDS, WordList, check_list, parse_list
from im_service.moderation.matcher import Matcher
from im_service.moderation.patterns import check_worth
from tests.support.noise_peer import seeded

WORDS = ["发票", "法轮功", "ass", "fuck you", "viagra", "дурак", "加微信"]
LIST = WordList(action="mask", words=WORDS, allow=["开发票据", "badass"], pinyin=True)

FOUND = {
    "as it stands": [("发票", "发票"), ("viagra", "viagra"), ("дурак", "дурак")],
    "case": [("ViAgRa", "viagra"), ("ДУРАК", "дурак"), ("VIAGRA", "viagra")],
    "gaps": [("发 票", "发票"), ("v.i.a.g.r.a", "viagra"), ("v i a g r a", "viagra"), ("法-轮_功", "法轮功")],
    "nothing to see": [("发\u200b票", "发票"), ("v\u200di\u2060agra", "viagra"), ("发\ufe0f票", "发票")],
    "nothing to see, rarely": [("vi\u180bagra", "viagra"), ("vi\u17b4ag\U000e0041ra", "viagra")],
    "line ends": [("发\n票", "发票"), ("fuck\r\n you", "fuck you")],
    "width": [("ＶＩＡＧＲＡ", "viagra"), ("ｆｕｃｋ　ｙｏｕ", "fuck you")],
    "letters of formulas": [("𝓿𝓲𝓪𝓰𝓻𝓪", "viagra"), ("ⓥⓘⓐⓖⓡⓐ", "viagra"), ("🅰ss", "ass")],
    "letters of flags and badges": [("🅥🅘🅐🅖🅡🅐", "viagra"), ("🇻🇮🇦🇬🇷🇦", "viagra")],
    "look-alikes": [("vіаgrа", "viagra"), ("νiαgrα", "viagra"), ("аss", "ass")],
    "look-alikes of further scripts": [("ꓦꓲꓮꓖꓣꓮ", "viagra"), ("ᏙᎥᎪᏀᏒᎪ", "viagra")],
    "accents": [("víàgrä", "viagra"), ("v̷i̷a̷g̷r̷a̷", "viagra")],
    "traditional": [("發票", "发票"), ("發 票", "发票"), ("法輪功", "法轮功")],
    "spelled out": [("fapiao", "发票"), ("fa piao", "发票"), ("发piao", "发票"), ("jia v加微信", "加微信")],
    "between others": [("买發 票吗", "发票"), ("(ass)", "ass"), ("你ass好", "ass"), ("kiss ass!", "ass")],
}  # fmt: skip
NOT_FOUND = [
    "class", "assassin", "pass us", "as soon as", "gas stove", "开发票据", "badass", "发大票", "发?大票",
    "fapiaofang", "sofapiao", "hello", "你好", "viagrab", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    check_list(LIST)
    return Matcher({"words": LIST})


@pytest.mark.parametrize(
    ("text", "word"), [pair for pairs in FOUND.values() for pair in pairs if pair[1]], ids=ascii
)
def test_a_disguised_word_is_found(matcher: Matcher, text: str, word: str) -> None:
    assert word in [hit.word for hit in matcher.find(text)]


@pytest.mark.parametrize("text", NOT_FOUND, ids=ascii)
def test_what_only_looks_like_a_word_is_none(matcher: Matcher, text: str) -> None:
    assert matcher.find(text) == []


def test_others_of_the_same_sound_are_found_in_texts_of_suspects(matcher: Matcher) -> None:
    assert matcher.find("要发漂吗") == []
    (hit,) = matcher.find("要发漂吗", suspect=True)
    assert (hit.word, hit.start, hit.end) == ("发票", 1, 3)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("买發 票吗", "买* *吗"),
        ('["v-i-a", "gra"]', '["*-*-*", "***"]'),
        ("a.s.s!", "*.*.*!"),
        ("ＡＳＳ", "***"),
        ("say fuck\nyou", "say ****\n***"),
        ("fine", "fine"),
    ],
)
def test_letters_are_masked_and_what_separates_them_stays(matcher: Matcher, text: str, after: str) -> None:
    assert matcher.look([text]).changed().get(0, text) == after


def test_patterns_see_the_text_as_it_was_written_and_take_no_longer_than_it_is_long() -> None:
    words = WordList(action="reject", patterns=[r"1[3-9]\d{9}", r"(a*)*b"])
    check_list(WordList(action="reject", patterns=words.patterns[:1]))
    matcher = Matcher({"phones": words})
    (hit,) = matcher.find("call 13912345678 now")
    assert (hit.word, hit.start, hit.end) == (r"1[3-9]\d{9}", 5, 16)
    (hit,) = matcher.find("打给我 13912345678")
    assert (hit.start, hit.end) == (4, 15)
    assert matcher.find("a" * 5000) == [], "no backtracking: this would end after the sun does"


def test_a_list_looks_at_its_kinds_and_types_only() -> None:
    matcher = Matcher(
        {
            "rooms": WordList(action="reject", words=["ass"], kinds=["r"]),
            "images": WordList(action="mask", words=["ass"], types=[1]),
        }
    )
    assert [hit.list for hit in matcher.find("ass", "s", 0)] == []
    assert [hit.list for hit in matcher.find("ass", "r", 0)] == ["rooms"]
    assert [hit.list for hit in matcher.find("ass", "s", 1)] == ["images"]
    assert [hit.list for hit in matcher.find("ass")] == ["images", "rooms"], "asked of no kind: all"
    assert [hit.list for hit in matcher.find("ass", "call", None)] == ["images"]


def test_words_inside_of_words_where_the_list_says_so() -> None:
    assert Matcher({"a": WordList(action="mask", words=["ass"], whole_words=False)}).find("class")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "truncated"),
        (b'{"action":"kill"}', "action"),
        (b'{"action":"mask","wrods":[]}', "wrods"),
        (b'{"action":"mask","words":["..."]}', "words[0]"),
        (b'{"action":"mask","words":[""]}', "words[0]"),
        (b'{"action":"mask","allow":["!"]}', "allow[0]"),
        (b'{"action":"mask","patterns":["("]}', "patterns[0]: missing )"),
        (b'{"action":"mask","patterns":["a*"]}', "patterns[0]: 'a*' is found in an empty text"),
        (b'{"action":"mask","patterns":["(?=a)"]}', "patterns[0]"),
        (b'{"action":"mask","patterns":["\\\\d","."]}', "patterns[1]: '.' is found in every text"),
        (b'{"action":"mask","patterns":["[^x]"]}', "is found in every text"),
        (b'{"action":"mask","patterns":["q.{400}"]}', "steps, at most 2000"),
        (b'{"action":"mask","patterns":["((a{100}){100}){100}"]}', "patterns[0]"),
        (b'{"action":"mask","kinds":["x"]}', "kinds"),
    ],
)
def test_a_list_that_says_nothing_is_refused_by_the_member_that_is_wrong(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_list(content)
    assert said in str(refused.value)


def test_lists_are_bounded_together() -> None:
    half = WordList(action="mask", words=[f"w{n}" for n in range(MAX_WORDS // 2)])
    with pytest.raises(ValueError, match="200001 words, at most 200000"):
        Matcher({"a": half, "b": half, "c": WordList(action="mask", words=["more"])})


def test_folding_says_of_each_of_its_letters_where_it_was() -> None:
    text = "發 ㎏ﬁ\u200bÉ"
    folded, places = fold_with_places(text)
    assert folded == fold(text) == "发kgfie"
    assert places == [0, 2, 2, 3, 3, 5]


@pytest.mark.parametrize("text", ["I love 🇺🇸!", "us🇺🇸", "🇺🇸us", "🇸🇧 🇺🇸", "us 🇺🇸 us", "发🇺🇸票", "🇺🇸🇸", "🇺 🇸"])
def test_a_flag_is_no_word_and_more_or_less_than_a_flag_may_be(text: str) -> None:
    words = ["us", "sb", "发票", "uss"]
    expected = {
        "us🇺🇸": ["us"], "🇺🇸us": ["us"], "us 🇺🇸 us": ["us", "us"], "发🇺🇸票": ["发票"],
        "🇺🇸🇸": ["uss"], "🇺 🇸": ["us"],
    }  # fmt: skip
    matcher = Matcher({"x": WordList(action="mask", words=words)})
    hits = matcher.find(text)
    assert [hit.word for hit in hits] == expected.get(text, [])
    for hit in hits:
        assert fold(text[hit.start : hit.end]) == hit.word
    if text == "发🇺🇸票":
        assert matcher.look([text]).changed() == {0: "*🇺🇸*"}


def test_folding_twice_changes_nothing() -> None:
    """Else a word of a list could not be found in a text of another form."""
    rng = seeded()
    points = [rng.randrange(0x20, 0x30000) for _ in range(20_000)]
    text = "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
    text += "薴苧苎"  # the first is simplified to the second, the second to the third
    once = fold(text)
    assert fold(once) == once
    assert fold(unicodedata.normalize("NFC", text)) == fold(unicodedata.normalize("NFD", text))


def test_what_did_not_change_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("im_service.moderation.forms.MACHINE", 2000)
    large = WordList(action="mask", words=[f"word{n}" for n in range(3000)])
    first = Matcher({"large": large, "small": WordList(action="mask", words=["one"])})
    second = Matcher({"large": large, "small": WordList(action="mask", words=["two"])}, first)
    kept = set(map(id, first.spelled.machines)) & set(map(id, second.spelled.machines))
    assert len(kept) == 2, "two machines of the large list"
    assert [hit.word for hit in second.find("one two word2999")] == ["two", "word2999"]


def test_a_text_full_of_words_and_allowed_phrases_costs_what_it_is_long() -> None:
    """Each hit was compared with each phrase: one message stopped the process for half a second."""
    matcher = Matcher({"a": WordList(action="mask", words=["发"], allow=["发票", "大发票好"])})
    assert matcher.find("发票" * 2500) == []
    assert [hit.start for hit in matcher.find("发票发大发票好发")] == [2, 7]


@pytest.mark.parametrize(
    "patterns", [["(?:a?){300}a{300}x"], ["(?:a?){500}a{500}"], ["1[3-9]", "(?:a?){500}a{500}"]]
)
def test_what_patterns_cost_is_measured_where_they_are_used(patterns: list[str]) -> None:
    words = WordList(action="reject", patterns=patterns)
    check_list(words)
    with pytest.raises(ValueError, match=rf"patterns\[{len(patterns) - 1}\].*repeat less"):
        check_worth(words)


def test_ordinary_patterns_are_worth_it() -> None:
    patterns = [
        r"1[3-9]\d{9}",
        r"\d",
        r"https?://\S+",
        "微信[a-z0-9]{6,20}",
        r"[\w.]+@[\w.]+\.com",
        "加我|加v",
    ]
    check_worth(WordList(action="reject", patterns=patterns))

"""Every text of a message that its receivers may see is looked at, however it is spelled."""

from __future__ import annotations

import base64
import hashlib

import msgspec
import pytest

from im_service.moderation.lists import WordList
from im_service.moderation.matcher import Matcher
from im_service.moderation.texts import JSON_DEPTH, texts_of, texts_of_draft, with_texts
from im_service.options import ForcePush, Options
from im_service.sending.hooks import Draft
from tests.support.noise_peer import seeded

SHOWN = {"pushContent": "a word", "payload": "a word", "forcePush": ForcePush(content="a word")}
NOT_SHOWN = {
    "env": "a name of the application's own",
    "target": "users",
    "antispam": "for the application's engines",
    "tag": "a name that receivers asked for",
}
"""Options that hold texts and are looked at by nobody, and why."""


def test_every_option_that_holds_a_text_is_shown_or_says_why_not() -> None:
    def holds_text(annotation: object) -> bool:
        return "str" in str(annotation) or "Force" in str(annotation) or "Target" in str(annotation)

    named = {name for name, kind in Options.__annotations__.items() if holds_text(kind)}
    assert named == set(SHOWN) | set(NOT_SHOWN)
    for name, value in SHOWN.items():
        assert msgspec.convert({name: msgspec.to_builtins(value)}, Options).shown == ("a word",), name
    assert Options().shown == Options(forcePush=ForcePush(everybody=True)).shown == ()


def found(value: object) -> list[str]:
    return [text for text, _ in texts_of(value)]


@pytest.mark.parametrize(
    "text",
    [
        r'{"a": "\u0077ord"}', r' ["\u0077ord"]', r'"\u0077ord"', r'{"\u0077ord": 1}',
        r'{"a": "{\"b\": \"\\u0077ord\"}"}', r'{"s": "\ud800", "a": "\u0077ord"}',
        r'{"n": 1e999, "a": "\u0077ord"}', '{"n": ' + "1" * 5000 + r', "a": "\u0077ord"}',
        r'{"a": "\u0077ord", "a": "x"}', r'{"n": NaN, "a": "\u0077ord"}', r'{"a": "\u0077ord",}',
        r'{/**/"a": "\u0077ord"}', '\ufeff{"a": "\\u0077ord"}', '{"a": "\\u0077ord"}\0',
        '{}\n{"a": "\\u0077ord"}', "[" * 2000 + r'"\u0077ord"', "x={'a': '\\u0077ord'}", r"wo\urd \u0077ord",
        "\\" * 63 + "u0077ord", r"\u005cu0077ord", r"\u0077\u200bord", "w\\nord", r"\ud83d\u0077ord\ude00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoded", [False, True])
def test_a_text_is_looked_at_without_its_escapes_whatever_is_around_them(text: str, encoded: bool) -> None:
    given = text.encode() if encoded else text
    assert text in found({"data": given})
    rejecting = Matcher({"x": WordList(action="reject", words=["word"])})
    assert not rejecting.look([text]).actions, "or the text itself is enough"
    assert rejecting.look(found({"data": given, "other": "fine"})).actions
    assert rejecting.look(found({text: 1})).actions, "keys too"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"\ud83d\ude00 a", ["😀 a"]),
        (r"\ud800a\ude00", ["a"]),
        (r"http:\/\/a\"b", ['http://a"b']),
        (r"a\\nb", [r"a\nb", "a\nb"]),
        (r"¯\_(ツ)_/¯", []),
        ("\\u12", []),
        ("\\" * 3, ["\\" * 2, "\\"]),
        (r"\u005cn", [r"\n", "\n"]),
    ],
)
def test_escapes_are_what_they_stand_for(text: str, read: list[str]) -> None:
    assert list(texts_of(text))[1:] == [(each, False) for each in read]


def test_escapes_within_escapes_have_an_end() -> None:
    for text in ("\\" * 40_000 + "x", r"\u005c" * 10_000, r"\u005c" + "u005c" * 10_000):
        assert 1 < len(found(text)) <= 1 + JSON_DEPTH


def test_bytes_that_are_a_text_are_one() -> None:
    assert list(texts_of({"data": "发票".encode()})) == [("data", False), ("发票", False)]
    assert found({"data": b"word\xff"}) == ["data", "word\ufffd"]
    assert found({"data": b"\xff\xfe"}) == ["data"]


def test_bytes_that_are_no_text_have_no_words() -> None:
    rng = seeded()
    for _ in range(100):
        assert found(rng.randbytes(200)) == []


DIGESTS = [
    *(hashlib.new(name, b"a").hexdigest() for name in ("md5", "sha1", "sha256", "sha384", "sha512")),
    *(
        base64.b64encode(hashlib.new(name, b"a").digest()).decode()
        for name in ("md5", "sha1", "sha256", "sha384", "sha512")
    ),
    "sha256:" + "0" * 64,
]
PLACES = ["https://cdn.example/a.png", "s3://bucket/key", "HTTP://h/x?y#z"]
TEXTS = [
    "a word", "word", "发票", "see https://cdn.example/a", "https://cdn.example/发票", "say:word", "a:word!",
    "http:go-word-now", "word://", "https://cdn.example/a b", "word_word_word_ab", "f00d", "word:" + "0" * 64,
]  # fmt: skip


@pytest.mark.parametrize("member", ["url", "cover", "icon", "digest"])
def test_a_place_is_no_text_and_a_text_is_no_place(member: str) -> None:
    for place in DIGESTS if member == "digest" else PLACES:
        assert found({member: place}) == [member]
        assert with_texts({member: place}, lambda _: "*") == {member: place}
    for text in TEXTS + (PLACES if member == "digest" else DIGESTS):
        assert text in found({"below": {member: text}})
        assert with_texts({member: text}, lambda _: "*") == {member: "*"}


def test_a_draft_shows_its_ext_and_what_phones_show() -> None:
    draft = Draft("s/a:b", "a", "d", "c", 0, b"", '{"\\u0061": 1}', None, ('["\\u0062"]',))
    assert [text for text, _ in texts_of_draft(draft, {"text": "hi"})] == [
        "text", "hi", '{"\\u0061": 1}', '{"a": 1}', '["\\u0062"]', '["b"]',
    ]  # fmt: skip

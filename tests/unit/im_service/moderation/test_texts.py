"""Every text of a message that its receivers may see is looked at, however it is spelled."""

from __future__ import annotations

import msgspec
import pytest

from im_service.moderation.texts import texts_of, texts_of_draft, with_texts
from im_service.options import ForcePush, Options
from im_service.sending.hooks import Draft

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
        '{"a": "\\u0077ord"}', ' ["\\u0077ord"]', '"\\u0077ord"', '{"\\u0077ord": 1}',
        '{"a": "{\\"b\\": \\"\\\\u0077ord\\"}"}',
    ],
)  # fmt: skip
def test_a_text_that_is_json_is_looked_at_as_it_reads(text: str) -> None:
    assert text in found({"data": text})
    assert ("word", False) in list(texts_of({"data": text}))


@pytest.mark.parametrize("text", ['{"a": "\\u0077ord"', "[" * 40_000 + "\\", '{"a": "\\ud800"}', "{\\"])
def test_a_text_that_is_no_json_is_a_text(text: str) -> None:
    assert found(text) == [text]


def test_bytes_that_are_a_text_are_one() -> None:
    assert list(texts_of({"data": "发票".encode()})) == [("data", False), ("发票", False)]
    assert found({"data": b"\xff\xfe"}) == ["data"]


@pytest.mark.parametrize("member", ["url", "cover", "icon", "digest"])
def test_a_place_is_no_text_and_a_text_is_no_place(member: str) -> None:
    place = "9f86d081884c7d65" if member == "digest" else "https://cdn.example/a.png"
    assert found({member: place}) == [member]
    for text in ("a word", "word", "发票", "see https://cdn.example/a", "https://cdn.example/发票"):
        assert text in found({"below": {member: text}})
        assert with_texts({member: text}, lambda _: "*") == {member: "*"}


def test_a_draft_shows_its_ext_and_what_phones_show() -> None:
    draft = Draft("s/a:b", "a", "d", "c", 0, b"", '{"\\u0061": 1}', None, ('["\\u0062"]',))
    assert [text for text, _ in texts_of_draft(draft, {"text": "hi"})] == [
        "text", "hi", '{"\\u0061": 1}', "a", '["\\u0062"]', "b",
    ]  # fmt: skip

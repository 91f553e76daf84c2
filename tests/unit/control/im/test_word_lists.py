"""Lists of words as documents: packed, followed, compiled beside the loop, never lost by a bad one."""

from __future__ import annotations

import random
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from control.coordination.sqlite_documents import SqliteDocuments
from control.im.word_lists import LISTS, WordListFollower, WordLists, packed, unpacked
from im_service.moderation.lists import WordList
from im_service.moderation.matcher import Matcher
from tests.support.sdk_client import until


class Judge:
    def __init__(self) -> None:
        self.matcher = Matcher({})
        self.given = 0

    def use(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.given += 1

    def words(self, text: str) -> list[str]:
        return [hit.word for hit in self.matcher.find(text)]


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[SqliteDocuments]:
    made = SqliteDocuments(tmp_path / "documents.sqlite3")
    await made.start()
    yield made
    await made.stop(0)


def rude(*words: str) -> bytes:
    return packed(WordList(action="mask", words=list(words)))


async def test_what_is_published_before_the_start_judges_when_it_returns(documents: SqliteDocuments) -> None:
    await documents.put(LISTS + "rude", rude("ass"))
    judge = Judge()
    follower = WordListFollower(documents, judge.use)
    await follower.start()
    try:
        assert judge.words("ass") == ["ass"]
        await documents.put(LISTS + "more", rude("hell"))
        await until(lambda: judge.words("ass hell") == ["ass", "hell"])
        await documents.put(LISTS + "rude", rude("damn"))
        await until(lambda: judge.words("ass damn hell") == ["damn", "hell"])
        await documents.delete(LISTS + "more")
        await until(lambda: judge.words("ass damn hell") == ["damn"])
    finally:
        await follower.stop(0)


async def test_a_list_that_cannot_be_used_is_told_and_the_one_before_it_holds(
    documents: SqliteDocuments,
) -> None:
    judge = Judge()
    follower = WordListFollower(documents, judge.use)
    await follower.start()
    remark = follower.remarks()["word_lists"]
    try:
        await documents.put(LISTS + "rude", rude("ass"))
        await until(lambda: judge.words("ass") == ["ass"])
        await documents.put(LISTS + "rude", b"not packed")
        await until(lambda: remark() is not None)
        assert str(remark()).startswith("rude: ")
        assert judge.words("ass") == ["ass"]
        await documents.put(LISTS + "rude", rude("damn"))
        await until(lambda: remark() is None)
        assert judge.words("ass damn") == ["damn"]
    finally:
        await follower.stop(0)


async def test_too_many_words_together_are_told_until_a_list_goes(
    documents: SqliteDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("im_service.moderation.matcher.MAX_WORDS", 3)
    judge = Judge()
    follower = WordListFollower(documents, judge.use)
    await follower.start()
    try:
        await documents.put(LISTS + "a", rude("one", "two"))
        await until(lambda: judge.words("one") == ["one"])
        await documents.put(LISTS + "b", rude("three", "four"))
        await until(lambda: follower.remarks()["word_lists"]() is not None)
        assert judge.words("one three") == ["one"], "what was there holds"
        await documents.delete(LISTS + "a")
        await until(lambda: judge.words("one three") == ["three"])
        assert follower.remarks()["word_lists"]() is None
    finally:
        await follower.stop(0)


async def test_operators_see_lists_and_try_texts_by_what_is_published(documents: SqliteDocuments) -> None:
    room = WordLists(documents)
    assert not (await room.matcher()).find("ass")
    await documents.put(LISTS + "rude", await room.checked("rude", WordList(action="mask", words=["ass"])))
    await documents.put(LISTS + "old", b"{}")
    found = await room.all()
    assert found["old"][0] is None, "another version wrote it"
    assert found["rude"][0] is not None
    matcher = await room.matcher()
    assert [hit.list for hit in matcher.find("ass")] == ["rude"]
    assert await room.matcher() is matcher, "compiled once"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, "the list is empty"),
        ({"patterns": [f".{{200}}z{digit}" for digit in range(20)]}, "repeat less"),
    ],
)
async def test_what_can_only_be_a_mistake_is_not_published(
    documents: SqliteDocuments, members: dict[str, list[str]], said: str
) -> None:
    room = WordLists(documents)
    for worth in ({"words": ["ass"]}, {"allow": ["class"]}, {"patterns": [r"1[3-9]\d{9}"] * 100}):
        assert await room.checked("list", msgspec.convert({"action": "mask", **worth}, WordList))
    with pytest.raises(ValueError, match=said):
        await room.checked("list", msgspec.convert({"action": "mask", **members}, WordList))


def test_a_packed_list_is_what_it_was() -> None:
    words = WordList(action="reject", words=["发票", "ass"], patterns=["a+b"], allow=["class"], text="no")
    assert unpacked(packed(words)) == words


@pytest.mark.parametrize("value", [b"", b"x", zlib.compress(b"[]"), zlib.compress(b"{}")[:-3]])
def test_what_is_no_list_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(value)


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(ValueError, match="at most"):
        unpacked(zlib.compress(bytes(64 << 20)))


def test_a_list_that_is_too_large_for_a_document_says_what_to_do() -> None:
    chance = random.Random(1)
    words = ["".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(20)) for _ in range(40_000)]
    with pytest.raises(ValueError, match="divide them between several lists"):
        packed(WordList(action="mask", words=words))

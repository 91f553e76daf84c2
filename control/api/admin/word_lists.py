"""Lists of words that texts are judged by, and what would happen to a text."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from control.api.admin import documents
from control.api.admin.documents import Gone, Nothing
from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.im.word_lists import LISTS
from control.keys.api_keys import POLICY_ADMIN, VIEWER
from im_service.moderation.findings import Hit
from im_service.moderation.lists import NAME_PATTERN, Kind, Severity, WordList


class WordListSummary(Struct, kw_only=True):
    """`readable` false: another version wrote it, and nothing is judged by it."""

    name: str
    action: str
    category: str
    words: int
    patterns: int
    allow: int
    revision: int
    readable: bool


class WordListTable(Struct, kw_only=True):
    lists: list[WordListSummary]


class WordListWanted(Given, WordList, kw_only=True):
    """As a list."""


class WordListPut(Struct, kw_only=True):
    name: str
    words: int
    patterns: int
    allow: int


class TextTried(Given, kw_only=True):
    """`kind` and `type` as in a list; left out: of whatever conversation and type. `suspect`: of a sender who
    had a hit lately."""

    text: Annotated[str, Meta(min_length=1, max_length=5000)]
    kind: Kind | None = None
    type: Annotated[int, Meta(ge=0, le=255)] | None = None
    suspect: bool = False


class HitShown(Struct, kw_only=True):
    """`text`: what stands there, from character `start` to before `end`."""

    list: str
    category: str
    action: str
    word: str
    start: int
    end: int
    text: str


class TextJudged(Struct, kw_only=True):
    """`verdict`: pass, note, mask, hold or reject; `result`: what others see, null: nothing.
    `hits`: the first thousand that were found, in order of place."""

    verdict: str
    result: str | None
    hits: list[HitShown]


async def listed(ask: Ask[Nothing]) -> Reply:
    found: list[WordListSummary] = []
    for name, (words, revision) in sorted((await ask.services.words.all()).items()):
        found.append(
            WordListSummary(
                name=name,
                action=words.action if words else "",
                category=words.category if words else "",
                words=len(words.words) if words else 0,
                patterns=len(words.patterns) if words else 0,
                allow=len(words.allow) if words else 0,
                revision=revision,
                readable=words is not None,
            )
        )
    return Reply(WordListTable(lists=found))


async def shown(ask: Ask[Nothing]) -> Reply:
    name = ask.path["list"]
    words, revision = (await ask.services.words.all()).get(name, (None, 0))
    if not revision:
        raise Problem(404, "not-found", f"there is no list {name}", revision=0)
    if words is None:
        text = f"{name} was written by another version"
        raise Problem(409, "document-unreadable", text, revision=revision)
    return Reply(words, revision)


async def published(ask: Ask[WordListWanted]) -> Reply:
    name, given = ask.path["list"], ask.given
    words = WordList(**{member: getattr(given, member) for member in WordList.__struct_fields__})
    try:
        value = await ask.services.words.checked(name, words)
    except ValueError as error:
        raise Problem(422, "invalid", str(error)) from None
    before = await ask.services.documents.get(LISTS + name)
    document = await ask.services.documents.put(LISTS + name, value, ask.expected)
    put = WordListPut(name=name, words=len(words.words), patterns=len(words.patterns), allow=len(words.allow))
    return Reply(put, document.revision, before.revision if before is not None else 0)


async def dropped(ask: Ask[Nothing]) -> Reply:
    return await documents.drop(ask, LISTS + ask.path["list"])


async def tried(ask: Ask[TextTried]) -> Reply:
    given = ask.given
    matcher = await ask.services.words.matcher()
    hits: list[Hit] = []
    found = await asyncio.to_thread(
        matcher.look, [given.text], given.kind or "", given.type, given.suspect, hits
    )
    severest = found.severest()
    action = None if severest is None else severest[1]
    return Reply(
        TextJudged(
            verdict="pass" if action is None else action.name.lower(),
            result=None if action == Severity.REJECT else found.changed().get(0, given.text),
            hits=[
                HitShown(
                    list=hit.list,
                    category=hit.category,
                    action=hit.action.name.lower(),
                    word=hit.word,
                    start=hit.start,
                    end=hit.end,
                    text=given.text[hit.start : hit.end],
                )
                for hit in sorted(set(hits), key=lambda hit: (hit.start, hit.end, hit.list, hit.word))
            ],
        )
    )


PATH = "/moderation/lists"
ONE = PATH + "/{list}"
NAMES = {"list": NAME_PATTERN}
ROUTES = (
    Route(
        "GET", PATH, "moderation.lists", VIEWER, "moderation", "Lists of words that texts are judged by",
        Nothing, WordListTable, listed,
    ),
    Route(
        "GET", ONE, "moderation.lists.get", VIEWER, "moderation", "A list, with its words",
        Nothing, WordList, shown, has_etag=True, patterns=NAMES,
    ),
    Route(
        "PUT", ONE, "moderation.lists.publish", POLICY_ADMIN, "moderation",
        "Judge by these words; every process does within a moment", WordListWanted, WordListPut, published,
        revised=True, has_etag=True, patterns=NAMES,
    ),
    Route(
        "DELETE", ONE, "moderation.lists.drop", POLICY_ADMIN, "moderation", "Judge without this list",
        Nothing, Gone, dropped, revised=True, has_etag=True, patterns=NAMES,
    ),
    Route(
        "POST", "/moderation/test", "moderation.test", VIEWER, "moderation",
        "Which words stand in a text, where, and what would happen", TextTried, TextJudged, tried,
    ),
)  # fmt: skip

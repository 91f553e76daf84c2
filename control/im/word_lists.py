"""The lists of words that texts are judged by, as they were published in documents."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping

import msgspec

from control.coordination.documents import VALUE_BYTES, Document, Documents
from control.coordination.replica import Replica
from control.logs import get_logger
from control.part import Check, Part
from im_service.moderation.lists import WordList, check_list, parse_list
from im_service.moderation.matcher import Matcher
from im_service.moderation.patterns import check_worth

log = get_logger("im")

LISTS = "moderation/lists/"
MAX_JSON = 16 << 20
"""Of one list, unpacked: what 200,000 of the longest words have is less."""


def packed(words: WordList) -> bytes:
    """A list as its document has it. Raises ValueError when it is too large for one."""
    value = zlib.compress(msgspec.json.encode(words))
    if len(value) > VALUE_BYTES:
        text = f"{len(words.words)} words have {len(value)} bytes packed, at most {VALUE_BYTES}"
        raise ValueError(f"{text}: divide them between several lists")
    return value


def unpacked(value: bytes) -> WordList:
    """Raises ValueError for what is no list."""
    machine = zlib.decompressobj()
    try:
        content = machine.decompress(value, MAX_JSON)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if machine.unconsumed_tail or not machine.eof:
        raise ValueError(f"not a list of at most {MAX_JSON} bytes")
    return parse_list(content)


class WordListFollower(Part):
    """Gives the message service what is published, compiled in a thread. A list that cannot be used is
    logged, and what was there of it holds; without documents all goes on as it was."""

    def __init__(self, documents: Documents, use: Callable[[Matcher], None]) -> None:
        self._use = use
        self._matcher = Matcher({})
        self._lists: dict[str, WordList] = {}
        self._bad: dict[str, str] = {}
        self._waiting: dict[str, Document | None] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._replica = Replica(documents, LISTS)
        self._replica.on_change(self._on_change)

    async def start(self) -> None:
        await self._replica.start()
        await self._take_in()
        self._task = asyncio.create_task(self._run(), name="word lists")

    async def stop(self, grace_s: float) -> None:
        await self._replica.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _on_change(self, key: str, document: Document | None) -> None:
        self._waiting[key] = document
        self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            try:
                await self._take_in()
            except Exception:
                log.exception("lists of words could not be taken in")

    async def _take_in(self) -> None:
        """All that changed until now, at once."""
        self._news.clear()
        changes, self._waiting = self._waiting, {}
        if not changes:
            return
        lists, bad = dict(self._lists), dict(self._bad)
        try:
            matcher = await asyncio.to_thread(_compiled, lists, bad, changes, self._matcher)
        except ValueError as error:
            self._bad = {**bad, "": str(error)}
            log.error("lists of words cannot be used together", reason=str(error))
            self._waiting = {**changes, **self._waiting}  # looked at again with the next change
            return
        self._lists, self._bad = lists, bad
        self._bad.pop("", None)
        self._matcher = matcher
        self._use(matcher)
        log.info("texts are judged by other lists", lists=sorted(lists), words=matcher.words)

    def remarks(self) -> Mapping[str, Check]:
        return {"word_lists": self._problem}

    def _problem(self) -> str | None:
        return next((f"{name}: {why}" if name else why for name, why in sorted(self._bad.items())), None)


def _compiled(
    lists: dict[str, WordList],
    bad: dict[str, str],
    changes: Mapping[str, Document | None],
    before: Matcher,
) -> Matcher:
    """Changes `lists` and `bad`, in a thread; the matcher of all of them."""
    for key, document in changes.items():
        name = key.removeprefix(LISTS)
        bad.pop(name, None)
        if document is None:
            lists.pop(name, None)
            continue
        try:
            lists[name] = unpacked(document.value)
        except ValueError as error:
            bad[name] = str(error)
            log.error("a list of words cannot be used", list=name, reason=str(error))
    return Matcher(lists, before)


class WordLists:
    """Lists as operators see them, and all of them compiled, remembered until one changes."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._revisions: dict[str, int] = {}
        self._matcher = Matcher({})
        self._compiling = asyncio.Lock()

    async def all(self) -> dict[str, tuple[WordList | None, int]]:
        """Name -> list and revision; None: of another version."""
        listing = await self._documents.list(LISTS)
        found = await asyncio.to_thread(lambda: [_read(each) for each in listing.documents])
        return {
            each.key.removeprefix(LISTS): (words, each.revision)
            for each, words in zip(listing.documents, found, strict=True)
        }

    async def matcher(self) -> Matcher:
        """What im processes judge by, or will in a moment."""
        async with self._compiling:
            listing = await self._documents.list(LISTS)
            revisions = {each.key: each.revision for each in listing.documents}
            if revisions != self._revisions:
                changes = {each.key: each for each in listing.documents}
                self._matcher = await asyncio.to_thread(_compiled, {}, {}, changes, self._matcher)
                self._revisions = revisions
            return self._matcher

    async def checked(self, name: str, words: WordList) -> bytes:
        """The document of a list that may be published beside the others. Raises ValueError."""
        others = {each: found for each, (found, _) in (await self.all()).items() if found is not None}

        def packing() -> bytes:
            check_list(words)
            check_worth(words)
            Matcher({**others, name: words})
            return packed(words)

        return await asyncio.to_thread(packing)


def _read(document: Document) -> WordList | None:
    try:
        return unpacked(document.value)
    except ValueError as error:
        log.error("a list of words cannot be read", key=document.key, reason=str(error))
        return None

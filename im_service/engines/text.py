"""Texts of messages, judged by an engine before anybody else has them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec

from im_service.engines.answers import TextFinding, read_text
from im_service.engines.ports import EnginePort, Unanswered
from im_service.errors import Code, ImError
from im_service.moderation.judge import PASS, REFUSED
from im_service.moderation.texts import texts_of_draft, with_texts
from im_service.ports import Clock
from im_service.sending.bodies import check_body
from im_service.sending.hooks import Action, Draft, Verdict

UNJUDGED = "the text could not be judged"


class TextRules(NamedTuple):
    """`types` empty: all. `fails`: what follows where there is no answer. `cache` findings are remembered for
    `cache_ms`. `heed_off`: a sender's `antispam.on = false` is obeyed."""

    kinds: frozenset[str]
    types: frozenset[int]
    fails: Literal["open", "closed", "hold"]
    cache: int
    cache_ms: int
    heed_off: bool


class TextEngine:
    """A hook. Messages whose texts are the same, of the same kind, type and `antispam`, are asked about
    once."""

    instant = False

    def __init__(self, port: EnginePort, clock: Clock, rules: TextRules) -> None:
        self._port = port
        self._clock = clock
        self._rules = rules
        self._findings: OrderedDict[bytes, tuple[TextFinding, int]] = OrderedDict()
        self.cached = 0

    def wants(self, kind: str, type: int) -> bool:
        rules = self._rules
        return kind in rules.kinds and (not rules.types or type in rules.types)

    async def judge(self, draft: Draft) -> Verdict:
        if self._rules.heed_off and draft.antispam is not None and draft.antispam.get("on") is False:
            return PASS
        body = msgspec.msgpack.decode(draft.body)
        free = dict(_texts(draft, body))
        if not free:
            return PASS
        texts = list(free)
        replaceable = sum(free.values())
        question = {
            "type": draft.type,
            "texts": texts,
            "replaceable": replaceable,
            "antispam": draft.antispam,
        }
        key = blake2b(msgspec.msgpack.encode([draft.conversation[0], question]), digest_size=16).digest()
        found = self._remembered(key)
        if found is None:
            who = {"conversation": draft.conversation, "from": draft.sender, "client_id": draft.client_id}
            try:
                found = await self._port.ask({**who, **question}, partial(self._read, draft, body, free))
            except Unanswered:
                return self._unanswered()
            self._remember(key, found)
        return self._obeyed(draft, body, free, found)

    def _unanswered(self) -> Verdict:
        if self._rules.fails == "closed":
            raise ImError(Code.UNAVAILABLE, UNJUDGED)
        return PASS if self._rules.fails == "open" else Verdict(Action.HOLD, rule="@unanswered")

    def _obeyed(self, draft: Draft, body: object, free: Mapping[str, bool], found: TextFinding) -> Verdict:
        rule = f"@{found.rule or 'engine'}"
        if found.verdict == "reject":
            return Verdict(Action.REJECT, text=found.text or REFUSED, rule=rule)
        if found.verdict == "hold":
            return Verdict(Action.HOLD, rule=rule, hold_s=found.hold_s)
        if found.verdict == "pass" or found.texts is None:
            return PASS
        changed = _changed(free, found.texts)
        if any(not free[text] for text in changed):  # a key or a push text stays what it is
            return Verdict(Action.REJECT, text=found.text or REFUSED, rule=rule)
        try:
            after = _body_with(draft, body, changed)
        except ImError:  # remembered of another body with these texts
            return self._unanswered()
        ext = None if draft.ext is None else changed.get(draft.ext, draft.ext)
        return Verdict(Action.REPLACE, after, ext, rule=rule) if changed else PASS

    def _read(self, draft: Draft, body: object, free: Mapping[str, bool], raw: bytes) -> TextFinding:
        """Raises ValueError for what is no answer about this message."""
        found = read_text(len(free), raw)
        if found.verdict == "replace" and found.texts is not None:
            try:
                _body_with(draft, body, _changed(free, found.texts))
            except ImError as error:  # an empty text, or one that is too long
                raise ValueError(f"with these texts: {error}") from None
        return found

    def _remembered(self, key: bytes) -> TextFinding | None:
        found, until = self._findings.get(key, (None, 0))
        if found is None or until < self._clock.elapsed_ms():
            return None
        self._findings.move_to_end(key)
        self.cached += 1
        return found

    def _remember(self, key: bytes, found: TextFinding) -> None:
        if not self._rules.cache:
            return
        self._findings[key] = found, self._clock.elapsed_ms() + self._rules.cache_ms
        self._findings.move_to_end(key)
        if len(self._findings) > self._rules.cache:
            self._findings.popitem(last=False)


def _texts(draft: Draft, body: object) -> list[tuple[str, bool]]:
    """Each with whether it can be another one; a text that stands where it cannot is last, and counts."""
    found = (each for each in texts_of_draft(draft, body) if each[0].strip())
    return sorted(found, key=lambda each: not each[1])


def _changed(free: Mapping[str, bool], texts: Sequence[str]) -> dict[str, str]:
    return {old: new for old, new in zip(free, texts, strict=True) if old != new}


def _body_with(draft: Draft, body: object, changed: Mapping[str, str]) -> bytes:
    """The body with other texts. Raises ImError where it can no longer be sent."""
    after = msgspec.msgpack.encode(with_texts(body, lambda text: changed.get(text, text)))
    check_body(draft.type, after, draft.conversation[0] == "r", server=True)
    return after

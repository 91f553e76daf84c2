"""Engines as the message service sees them: two places, each with its own breaker, bounds and rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from control.logs import get_logger
from control.outgoing.client import OutgoingClient, make_client
from control.outgoing.errors import OutgoingError
from control.outgoing.place import make_outlet
from control.outgoing.questions import Questions, numbers_of
from control.part import Check, Part, Source
from control.settings import Settings
from im_service.engines.ports import Found, MediaRules, Unanswered
from im_service.engines.text import TextEngine, TextRules
from im_service.ports import Clock, SystemClock

T = TypeVar("T", bound=Found)
TEXT, MEDIA = "text", "media"
OURS = ("open", "busy", "closed")
"""Outcomes that say nothing new of the engine."""
LINE_MS, SHOWN = 10_000, 300
log = get_logger("engines")


class Engine:
    """A port (im_service.engines.ports.EnginePort)."""

    def __init__(self, clock: Clock) -> None:
        self.questions: Questions | None = None
        self.wrong = ""
        """With the latest answer that was none."""
        self._clock = clock
        self._quiet_until = 0

    async def ask(self, question: Mapping[str, object], read: Callable[[bytes], T]) -> T:
        if self.questions is None:
            raise Unanswered("it is not asked yet")
        try:
            return await self.questions.ask(question, read)
        except OutgoingError as error:
            self._failed(error)
            raise Unanswered(str(error)) from None

    def _failed(self, error: OutgoingError) -> None:
        """What was wrong, for who wrote the engine: at most a line in LINE_MS."""
        if error.kind in OURS or self.questions is None:
            return
        self.wrong, now = str(error)[:SHOWN], self._clock.elapsed_ms()
        if now >= self._quiet_until:
            self._quiet_until = now + LINE_MS
            log.warning(
                "an engine gave no answer", engine=self.questions.kind, reason=error.kind, text=self.wrong
            )


class MediaEngine(Engine):
    """A port of media (im_service.engines.ports.MediaPort)."""

    def __init__(self, rules: MediaRules, clock: Clock) -> None:
        super().__init__(clock)
        self.rules = rules


class Engines(Part):
    """`text` and `media` are those that the settings name. Started before the message service, stopped
    after it."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._client: OutgoingClient | None = None
        self._ports: dict[str, Engine] = {}
        text, media = settings.engines.text, settings.engines.media
        self.text: TextEngine | None = None
        self.media: MediaEngine | None = None
        if text.url:
            rules = TextRules(
                frozenset(text.kinds),
                frozenset(text.types),
                text.fails,
                text.cache,
                text.cache_s * 1000,
                text.heed_off,
            )
            self._ports[TEXT] = port = Engine(self._clock)
            self.text = TextEngine(port, self._clock, rules)
        if media.url:
            retry_s = media.retry_ms / 1000
            looked = frozenset(media.kinds), frozenset(media.types)
            rules_of_media = MediaRules(*looked, media.queue, media.tries, retry_s, media.heed_off)
            self.media = MediaEngine(rules_of_media, self._clock)
            self._ports[MEDIA] = self.media

    async def start(self) -> None:
        self._client = client = make_client(self._settings.outgoing)
        places = {TEXT: self._settings.engines.text, MEDIA: self._settings.engines.media}
        for name, port in self._ports.items():
            port.questions = Questions(name, make_outlet(client, self._clock, places[name]), self._clock)

    async def stop(self, grace_s: float) -> None:
        if self._client is not None:
            await self._client.close()

    def _asked(self) -> dict[str, Questions]:
        return {name: port.questions for name, port in self._ports.items() if port.questions is not None}

    def remarks(self) -> Mapping[str, Check]:
        return {"engines": self._problem}

    def _problem(self) -> str | None:
        away = [f"{name} ({self._ports[name].wrong})" for name, each in self._asked().items() if each.away]
        return f"no answer of engines: {', '.join(away)}" if away else None

    def sources(self) -> Mapping[str, Source]:
        return {"engines": self._stats}

    def _stats(self) -> Mapping[str, object]:
        return {
            **numbers_of(self._asked()),
            "cached": 0 if self.text is None else self.text.cached,
        }

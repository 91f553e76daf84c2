"""Questions to the application's server: signed, in time, counted, and not asked of one that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from control.logs import get_logger
from control.outgoing.client import OutgoingClient, make_client
from control.outgoing.errors import OutgoingError
from control.outgoing.place import make_outlet
from control.outgoing.questions import Questions, fresh_id, numbers_of
from control.part import Check, Part, Source
from control.settings import Settings
from control.settings.callbacks_section import CallbacksSection
from im_service.callbacks.answers import Answer, read_decision
from im_service.callbacks.kinds import Kind
from im_service.callbacks.ports import Answered
from im_service.errors import Code, ImError
from im_service.ports import Clock, SystemClock

log = get_logger("callbacks")
T = TypeVar("T", bound=Answered)
NO_ANSWER = "the application's server does not answer"


class Tried(NamedTuple):
    """What came of a question that was asked to see whether it is answered."""

    id: str
    outcome: str
    text: str
    took_ms: int
    answer: Answer | None


class Callbacks(Part):
    """The port of both roles that ask (im_service.callbacks.ports); one breaker and one bound for each kind.
    Started before those who ask, stopped after them."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._client: OutgoingClient | None = None
        self._questions: dict[str, Questions] = {}  # by kind
        self._rules = _rules(settings.callbacks)
        self._ending = self._lost = False

    async def start(self) -> None:
        callbacks = self._settings.callbacks
        self._client = client = make_client(self._settings.outgoing)
        self._questions = {
            kind.value: Questions(kind.value, make_outlet(client, self._clock, callbacks), self._clock)
            for kind in Kind
        }

    async def drain(self) -> None:
        """From the first question on that has no answer none is asked: what waits in lanes has little
        time."""
        self._ending, self._lost = True, False

    async def stop(self, grace_s: float) -> None:
        if self._client is not None:
            await self._client.close()

    def set(self, callbacks: CallbacksSection) -> None:
        """What is asked about from now on, and what follows where there is no answer."""
        self._rules = _rules(callbacks)

    def rule(self, kind: Kind) -> str:
        return self._rules[kind]

    def asks(self, kind: Kind) -> bool:
        return self._rules[kind] != "off"

    async def ask(self, kind: Kind, question: Mapping[str, object], read: Callable[[bytes], T]) -> T | None:
        """As im_service.callbacks.ports.CallbackPort has it."""
        try:
            if self._ending and self._lost:
                raise OutgoingError("closed", "this process ends")
            return await self._questions[kind].ask(question, read)
        except OutgoingError as error:
            self._lost = True
            log.debug("no answer to a callback", kind=kind.value, reason=error.kind, text=str(error))
            if self._rules[kind] == "closed":
                raise ImError(Code.UNAVAILABLE, NO_ANSWER) from None
            return None

    async def attempt(self, kind: Kind, question: Mapping[str, object]) -> Tried:
        """Ask to see whether it is answered; nothing follows from it."""
        loop, id = asyncio.get_running_loop(), fresh_id()
        began = loop.time()
        answer, outcome, text = None, "", ""
        try:
            answer = await self._questions[kind].ask({**question, "test": True}, read_decision, id)
            outcome = answer.verdict
        except OutgoingError as error:
            outcome, text = error.kind, str(error)
        return Tried(id, outcome, text, round((loop.time() - began) * 1000), answer)

    def remarks(self) -> Mapping[str, Check]:
        return {"callbacks": self._problem}

    def _problem(self) -> str | None:
        away = [name for name, each in self._questions.items() if self.asks(Kind(name)) and each.away]
        return f"{NO_ANSWER}: {', '.join(away)}" if away else None

    def sources(self) -> Mapping[str, Source]:
        return {"callbacks": self._stats}

    def _stats(self) -> Mapping[str, object]:
        return numbers_of(self._questions)


def _rules(callbacks: CallbacksSection) -> dict[Kind, str]:
    return {
        Kind.SINGLE: callbacks.single,
        Kind.GROUP: callbacks.group,
        Kind.ROOM: callbacks.room,
        Kind.FRIEND: callbacks.friend_request,
        Kind.GROUP_CREATE: callbacks.group_create,
        Kind.GROUP_JOIN: callbacks.group_join,
        Kind.ROOM_ENTER: callbacks.room_enter,
        Kind.LOGIN: callbacks.login,
    }

"""Questions to the application's server: signed, in time, counted, and not asked of one that is away."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from control.logs import get_logger
from control.outgoing.breaker import Rules
from control.outgoing.client import OutgoingClient, make_client
from control.outgoing.errors import OutgoingError
from control.outgoing.outlet import Bounds, Outlet
from control.outgoing.signing import Signer
from control.part import Check, Part, Source
from control.settings import Settings
from control.settings.callbacks_section import CallbacksSection, signing_secrets
from im_service.callbacks.answers import Answer, read_decision
from im_service.callbacks.kinds import Kind
from im_service.callbacks.ports import Answered
from im_service.errors import Code, ImError
from im_service.ports import Clock, SystemClock

log = get_logger("callbacks")
T = TypeVar("T", bound=Answered)
WINDOW = 10
"""Latest questions of a kind that the breaker looks at."""
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
        self._outlets: dict[Kind, Outlet] = {}
        self._rules = _rules(settings.callbacks)
        self._counts: dict[str, int] = {}
        self._seconds: dict[str, float] = {kind.value: 0.0 for kind in Kind}

    async def start(self) -> None:
        callbacks = self._settings.callbacks
        self._client = client = make_client(self._settings.outgoing)
        signer = Signer(signing_secrets(callbacks.secret, callbacks.secret_before))
        bounds = Bounds(
            callbacks.budget_ms / 1000, callbacks.answer_bytes, callbacks.at_once, callbacks.waiting
        )
        rules = Rules(
            callbacks.break_failures,
            max(WINDOW, callbacks.break_failures),
            callbacks.break_ms,
            callbacks.break_most_ms,
        )
        self._outlets = {
            kind: Outlet(client, self._clock, callbacks.url, signer, bounds, rules) for kind in Kind
        }

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
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await self._put(kind, _fresh(), question, read)
        except OutgoingError as error:
            self._count(kind, error.kind)
            log.debug("no answer to a callback", kind=kind.value, reason=error.kind, text=str(error))
            if self._rules[kind] == "closed":
                raise ImError(Code.UNAVAILABLE, NO_ANSWER) from None
            return None
        finally:
            self._seconds[kind] += loop.time() - began
        self._count(kind, found.verdict)
        return found

    async def attempt(self, kind: Kind, question: Mapping[str, object]) -> Tried:
        """Ask to see whether it is answered; nothing follows from it."""
        loop, id = asyncio.get_running_loop(), _fresh()
        began = loop.time()
        answer, outcome, text = None, "", ""
        try:
            answer = await self._put(kind, id, {**question, "test": True}, read_decision)
            outcome = answer.verdict
        except OutgoingError as error:
            outcome, text = error.kind, str(error)
        return Tried(id, outcome, text, round((loop.time() - began) * 1000), answer)

    async def _put(
        self, kind: Kind, id: str, question: Mapping[str, object], read: Callable[[bytes], T]
    ) -> T:
        head = {"kind": kind.value, "id": id, "time_ms": self._clock.now_ms()}
        return await self._outlets[kind].ask(id, msgspec.json.encode({**head, **question}), read)

    def _count(self, kind: Kind, outcome: str) -> None:
        key = f"{kind.value} {outcome}"
        self._counts[key] = self._counts.get(key, 0) + 1

    def remarks(self) -> Mapping[str, Check]:
        return {"callbacks": self._problem}

    def _problem(self) -> str | None:
        away = [
            kind.value
            for kind, outlet in self._outlets.items()
            if self.asks(kind) and outlet.state() != "closed"
        ]
        return f"{NO_ANSWER}: {', '.join(away)}" if away else None

    def sources(self) -> Mapping[str, Source]:
        return {"callbacks": self._stats}

    def _stats(self) -> Mapping[str, object]:
        return {
            "answers": dict(self._counts),
            "seconds": dict(self._seconds),
            "open": {kind.value: int(outlet.state() != "closed") for kind, outlet in self._outlets.items()},
            "under_way": sum(outlet.asked for outlet in self._outlets.values()),
        }


def _fresh() -> str:
    return f"cb_{secrets.token_hex(12)}"


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

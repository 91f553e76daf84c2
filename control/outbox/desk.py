"""What operators ask of the process that delivers to an endpoint, and how they reach it.

The admin API is answered by processes that may hold no store: each question goes to the im process that owns
the endpoint, over the bus or at home.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from control.bus.base import Bus
from control.im.api import Absent, ImApi, ask
from control.outbox.delivery import Sent
from control.outbox.endpoints import PREFIX, Endpoint
from control.outbox.keeper import MakeSink, Outbox
from control.outbox.sink import Outcome, Verdict
from control.rendezvous import ranked
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.outbox.kinds.copy import EndpointTest, subject_of
from im_service.outbox.ports import Cursor, CursorGone, CursorInvalid, Event, EventFilter, EventLog
from im_service.ports import Clock
from im_service.storage.errors import StoreError
from im_service.storage.records import DeadLetter as Letter

METHOD = "endpoint"
LETTERS_AT_ONCE = 50
LOOK_S = 2.0
"""For what the store knows of an endpoint. Beyond: it is not known."""
RESEND_S = 6.0
"""Of one call that gives dead letters again. Beyond: the next call."""


class Question(Args):
    """`what`: look, test, letters, resend, place, drop."""

    what: str
    endpoint: str
    after: str = ""
    time_ms: int = 0
    number: int = 0
    limit: int = 100


class Looked(Struct, kw_only=True):
    """Of the process that delivers. `place`: everything before it is done. None: the store does not say now.
    `delivered`, `gaps`: since this process delivers."""

    node: int
    running: bool = False
    place: str = ""
    lag_events: int | None = None
    lag_seconds: float | None = None
    open: int = 0
    failures: int = 0
    delivered: int = 0
    dead_letters: int | None = None
    gaps: int = 0
    replaying: str = ""
    deliveries: list[Sent] = []


class Kept(Struct, kw_only=True):
    """A dead letter."""

    number: int
    event_id: str
    kind: str
    subject: str
    reason: str
    time_ms: int


class Resent(Struct, kw_only=True):
    """`lost`: the event has expired, or its text was taken back with it. `left`: how many are still there, of
    those looked at."""

    delivered: int = 0
    lost: int = 0
    left: int = 0
    reason: str = ""


class LetterStore(Protocol):
    async def bury(self, letter: Letter) -> int: ...

    async def dead_letters(self, endpoint: str, after: int, limit: int) -> list[tuple[int, Letter]]: ...

    async def count_letters(self, endpoint: str) -> int: ...

    async def drop_letters(self, endpoint: str, event_id: str | None) -> None: ...


class Desk:
    """Answers at the im process."""

    def __init__(
        self,
        outbox: Outbox,
        events: EventLog,
        letters: LetterStore,
        clock: Clock,
        make_sink: MakeSink,
        own: int,
    ) -> None:
        self._outbox = outbox
        self._log = events
        self._store = letters
        self._clock = clock
        self._make_sink = make_sink
        self._own = own

    async def answer(self, arguments: Args | msgspec.Raw) -> object:
        raw = arguments if isinstance(arguments, msgspec.Raw) else msgspec.msgpack.encode(arguments)
        question = msgspec.msgpack.decode(raw, type=Question)
        answers: dict[str, Callable[[Question], Awaitable[object]]] = {
            "look": self._look,
            "test": self._test,
            "letters": self._listed,
            "resend": self._resend,
            "place": self._place,
            "drop": self._drop,
        }
        try:
            return await answers[question.what](question)
        except KeyError:
            raise ImError(Code.INVALID, "no such question about endpoints") from None
        except StoreError as error:
            raise ImError(Code.UNAVAILABLE, str(error)) from None

    async def _look(self, question: Question) -> Looked:
        name = question.endpoint
        tally, delivery, replay = (
            self._outbox.tally(name), self._outbox.delivery(name), self._outbox.replay(name)
        )  # fmt: skip
        found = Looked(
            node=self._own,
            delivered=tally.delivered,
            gaps=tally.gaps,
            replaying="" if replay is None else replay.id,
            deliveries=list(tally.recent)[-question.limit :],
        )
        if delivery is not None and delivery.window is not None:
            window = delivery.window
            found.running, found.place = True, window.low
            found.open, found.failures = window.open, window.failures
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(LOOK_S):
                if (lag := await self._outbox.lags.now(name)) is not None:
                    found.lag_events, found.lag_seconds = lag.events, lag.seconds
                found.dead_letters = await self._store.count_letters(name)
        return found

    async def _test(self, question: Question) -> Sent:
        """One event that is in no log, given at once, whatever the endpoint's state."""
        endpoint = self._endpoint(question.endpoint)
        now = self._clock.now_ms()
        subject = subject_of(question.endpoint)
        event = Event(f"test-{now}", EndpointTest.KIND, now, subject, endpoint.env or None, {}, "")
        outcome, took_ms = await self._give(question.endpoint, endpoint, [event])
        return Sent(
            time_ms=now, took_ms=took_ms, verdict=outcome.verdict.value, status=outcome.status,
            reason=outcome.reason, events=1, first_event=event.event_id, last_event=event.event_id,
            replay=False, request=outcome.request.decode("utf-8", "replace"),
            answer=outcome.answer[:4096].decode("utf-8", "replace"),
        )  # fmt: skip

    async def _give(self, name: str, endpoint: Endpoint, events: Sequence[Event]) -> tuple[Outcome, int]:
        try:
            sink = self._make_sink(name, lambda: endpoint)
        except ValueError as error:
            return Outcome(Verdict.FAILED, str(error)), 0
        began = self._clock.elapsed_ms()
        try:
            return await sink.send(events, f"{self._clock.now_ms():x}"), self._clock.elapsed_ms() - began
        finally:
            await sink.close()

    def _endpoint(self, name: str) -> Endpoint:
        endpoint = self._outbox.endpoint(name)
        if endpoint is None:
            raise ImError(Code.NOT_FOUND, f"there is no endpoint {name} here yet")
        return endpoint

    async def _listed(self, question: Question) -> list[Kept]:
        found = await self._store.dead_letters(question.endpoint, question.number, question.limit)
        return [
            Kept(
                number=number, event_id=letter.event_id, kind=letter.kind, subject=letter.subject,
                reason=letter.reason, time_ms=letter.time_ms,
            )
            for number, letter in found
        ]  # fmt: skip

    async def _resend(self, question: Question) -> Resent:
        """Oldest first, each alone; the first one that is not taken ends it."""
        name, done = question.endpoint, Resent()
        endpoint = self._endpoint(name)
        found = await self._store.dead_letters(name, 0, LETTERS_AT_ONCE)
        until = self._clock.elapsed_ms() + RESEND_S * 1000
        for _, letter in found:
            event = await self._find(letter)
            if event is None:
                done.lost += 1
            else:
                outcome, _ = await self._give(name, endpoint, [event])
                if outcome.verdict is not Verdict.DELIVERED:
                    done.reason = outcome.reason
                    break
                done.delivered += 1
            await self._store.drop_letters(name, letter.event_id)
            if self._clock.elapsed_ms() > until:
                break
        done.left = len(await self._store.dead_letters(name, 0, 1_000))
        return done

    async def _find(self, letter: Letter) -> Event | None:
        """The event as the log has it now; None: it is no longer there."""
        try:
            page = await self._log.read(letter.before, 100, EventFilter((letter.kind,)))
        except (CursorGone, CursorInvalid):
            return None
        return next((event for event in page.events if event.event_id == letter.event_id), None)

    async def _place(self, question: Question) -> list[Cursor]:
        """[the place meant, the end of the log now]. By a cursor, a time, or the end."""
        end = await self._log.head()
        if question.after:
            try:
                await self._log.read(question.after, 1)
            except CursorInvalid as error:
                raise ImError(Code.INVALID, str(error)) from None
            except CursorGone as gone:
                raise ImError(Code.INVALID, f"{gone.reason}: what is left begins at {gone.go_on}") from None
            return [question.after, end]
        if question.time_ms:
            return [await self._log.at_time(question.time_ms), end]
        return [end, end]

    async def _drop(self, question: Question) -> None:
        """It is deleted: so are its dead letters."""
        await self._store.drop_letters(question.endpoint, None)


class EndpointDesk(Protocol):
    async def ask(self, question: Question) -> object:
        """What the owner of this endpoint answers, as msgpack carries it. Raises ImError."""
        ...


class OwnersDesk:
    """Asks the im process that owns the endpoint. `own`: the one in this process."""

    def __init__(
        self,
        bus: Bus | None,
        ims: Callable[[], Sequence[int]],
        own: tuple[int, ImApi] | None,
    ) -> None:
        self._bus = bus
        self._ims = ims
        self._own = own

    async def ask(self, question: Question) -> object:
        for im in ranked(PREFIX + question.endpoint, map(str, self._ims())):
            if self._own is not None and int(im) == self._own[0]:
                return msgspec.to_builtins(await self._own[1].call(METHOD, question))
            if self._bus is None:
                break
            try:
                return await ask(self._bus, int(im), METHOD, question)
            except Absent:
                continue
        raise ImError(Code.UNAVAILABLE, "no message service can be reached")


async def gather_looks(desk: EndpointDesk, names: Sequence[str]) -> dict[str, Looked]:
    """Of these endpoints, those whose owner answers."""

    async def one(name: str) -> Looked | None:
        try:
            return msgspec.convert(await desk.ask(Question(what="look", endpoint=name, limit=1)), Looked)
        except ImError:
            return None

    found = await asyncio.gather(*(one(name) for name in names))
    return {name: look for name, look in zip(names, found, strict=True) if look is not None}

"""Who delivers to which endpoint: each im process runs the readers of those endpoints that are its own.

An endpoint belongs to the im process that the hash of its name chooses among those that live, as rooms do.
Where two hold themselves for the owner for a moment, both deliver: events come twice, never out of order
the first time, and the commit of a place tells one of them that it is over. Where nobody does, nothing is
lost: the place is in the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from control.coordination.documents import Conflict, Document, Documents, DocumentsError
from control.coordination.replica import Replica
from control.logs import get_logger
from control.outbox.delivery import Delivery, End, Letters, Tally, Task
from control.outbox.endpoints import PREFIX, REPLAYS, Endpoint, Latest, Replay, read_endpoint
from control.outbox.lags import Lags
from control.outbox.sink import Sink
from control.outbox.tidings import Tidings
from control.part import Check, Part, Source
from control.rendezvous import choose
from im_service.outbox.ports import Cursor, EventLog
from im_service.ports import Clock
from im_service.storage.errors import StoreError

log = get_logger("outbox")

LAG_TICKS = 5
BROKEN_S = 5.0
"""Until a reader that ended by an error of ours is begun anew."""
TAKEN_S = 1.0
STOP_S = 4.0


class MakeSink(Protocol):
    def __call__(self, name: str, endpoint: Callable[[], Endpoint]) -> Sink:
        """`endpoint` is asked for its secrets whenever something is signed. Raises ValueError."""
        ...


class Spec(NamedTuple):
    """What a reader was begun with: another one needs another reader."""

    url: str
    kinds: tuple[str, ...]
    env: str
    format: str
    batch: int
    login: str
    group: str
    begun: int
    replay: str


class Running(NamedTuple):
    spec: Spec
    delivery: Delivery
    task: asyncio.Task[None]


class Outbox(Part):
    """Follows the documents and runs the readers. `owners`: node ids of the im processes that live."""

    def __init__(
        self,
        documents: Documents,
        events: EventLog,
        letters: Letters,
        clock: Clock,
        make_sink: MakeSink,
        own: int,
        owners: Callable[[], list[int]],
        beyond: Callable[[Cursor], Callable[[Cursor], bool]],
        disable_after_ms: int,
    ) -> None:
        self._documents = documents
        self._log = events
        self._letters = letters
        self._tidings = Tidings(letters, clock.now_ms)
        self._clock = clock
        self._make_sink = make_sink
        self._own = own
        self._owners = owners
        self._beyond = beyond
        self._disable_after_ms = disable_after_ms
        self._endpoints: dict[str, tuple[Endpoint, int]] = {}
        self._replays: dict[str, Replay] = {}
        self._unread: set[str] = set()
        self._running: dict[tuple[str, str], Running] = {}
        self._not_before: dict[tuple[str, str], float] = {}
        self._tallies: dict[str, Tally] = {}
        self.lags = Lags(events, self._place)
        self._ticks = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._replicas = [Replica(documents, PREFIX), Replica(documents, REPLAYS)]
        self._replicas[0].on_change(self._on_endpoint)
        self._replicas[1].on_change(self._on_replay)

    # -- what others ask

    def tally(self, name: str) -> Tally:
        return self._tallies.setdefault(name, Tally())

    def endpoint(self, name: str) -> Endpoint | None:
        found = self._endpoints.get(name)
        return None if found is None else found[0]

    def owns(self, name: str) -> bool:
        return choose(PREFIX + name, map(str, self._owners())) == str(self._own)

    def delivery(self, name: str) -> Delivery | None:
        """The reader of what is new, where it runs here."""
        running = self._running.get((name, ""))
        return None if running is None else running.delivery

    def replay(self, name: str) -> Replay | None:
        return self._replays.get(name)

    # -- life

    async def start(self) -> None:
        for replica in self._replicas:
            await replica.start()

    async def started(self) -> None:
        self._task = asyncio.create_task(self._run(), name="endpoints")

    async def stop(self, grace_s: float) -> None:
        for replica in self._replicas:
            await replica.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end_all(list(self._running))

    async def tick(self) -> None:
        self._changed.set()
        if self._ticks % LAG_TICKS == 0:
            await self.lags.measure([name for name in self._endpoints if self.owns(name)])
        self._ticks += 1

    async def _place(self, name: str) -> Cursor | None:
        running, endpoint = self.delivery(name), self.endpoint(name)
        if running is not None and running.place is not None:
            return running.place
        kept = None if endpoint is None else await self._log.group(endpoint.group(name))
        return None if kept is None else kept.cursor

    # -- what is to run

    def _on_endpoint(self, key: str, document: Document | None) -> None:
        name = key.removeprefix(PREFIX)
        self._unread.discard(name)
        before = self._endpoints.pop(name, None)
        if document is None:
            self._tallies.pop(name, None)
            self._tidings.forget(name)
            if before is not None and self.owns(name):
                self._forget(before[0].group(name))
        else:
            try:
                self._endpoints[name] = read_endpoint(document), document.revision
            except ValueError as error:
                self._unread.add(name)
                log.error("an endpoint cannot be used", endpoint=name, reason=str(error))
        self._changed.set()

    def _on_replay(self, key: str, document: Document | None) -> None:
        name = key.removeprefix(REPLAYS)
        self._replays.pop(name, None)
        if document is not None:
            try:
                self._replays[name] = msgspec.json.decode(document.value, type=Replay)
            except ValueError as error:
                log.error("a replay cannot be used", endpoint=name, reason=str(error))
        self._changed.set()

    def _wanted(self) -> dict[tuple[str, str], tuple[Spec, Task]]:
        wanted: dict[tuple[str, str], tuple[Spec, Task]] = {}
        for name, (endpoint, _) in self._endpoints.items():
            if endpoint.state != "active" or not self.owns(name):
                continue
            group, wants, begin = endpoint.group(name), endpoint.wanted(), endpoint.after or None
            live = Task(name, group, wants, endpoint.batch, begin, begun=endpoint.begun)
            wanted[name, ""] = _spec(endpoint, live, ""), live
            replay = self._replays.get(name)
            if replay is not None and replay.incarnation == endpoint.incarnation:
                beyond = self._beyond(replay.until)
                again = live._replace(
                    group=replay.group(name), begin=replay.after, beyond=beyond, again=replay.id
                )
                wanted[name, replay.id] = _spec(endpoint, again, replay.id), again
        return wanted

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._settle()
            except Exception:
                log.exception("endpoints could not be settled")
            await self._changed.wait()

    async def _settle(self) -> None:
        wanted = self._wanted()
        over = [
            key
            for key, running in self._running.items()
            if running.task.done() or key not in wanted or wanted[key][0] != running.spec
        ]
        await self._end_all(over)
        now = time.monotonic()
        for key, (spec, task) in self._wanted().items():
            if key not in self._running and self._not_before.get(key, 0.0) <= now:
                self._begin(key, spec, task)
        self._not_before = {key: at for key, at in self._not_before.items() if at > now}
        for name in list(self._endpoints):
            if (endpoint := self.endpoint(name)) is not None and self.owns(name):
                await self._tidings.state(name, endpoint)

    def _begin(self, key: tuple[str, str], spec: Spec, task: Task) -> None:
        name = key[0]
        latest = Latest(self._endpoints[name][0], lambda: self.endpoint(name))
        try:
            sink = self._make_sink(name, latest)
        except ValueError as error:
            log.error("an endpoint cannot be used", endpoint=name, reason=str(error))
            self._not_before[key] = time.monotonic() + BROKEN_S
            return
        delivery = Delivery(
            task, sink, self._log, self._letters, self._clock, self.tally(name),
            disable_after_ms=self._disable_after_ms,
        )  # fmt: skip
        running = asyncio.create_task(self._watch(key, spec, latest, delivery), name=f"endpoint {name}")
        self._running[key] = Running(spec, delivery, running)

    async def _watch(self, key: tuple[str, str], spec: Spec, latest: Latest, delivery: Delivery) -> None:
        name, replay = key
        try:
            end = await delivery.run()
        except Exception as error:
            log.exception("a reader of events failed", endpoint=name)
            end = End("broken", str(error))
        if end.kind == "disabled" and latest() is self.endpoint(name) and latest().url == spec.url:
            await self._disable(name, end.reason)
        elif end.kind == "done" and replay:
            await self._replayed(name, replay)
        if wait_s := {"taken": TAKEN_S, "broken": BROKEN_S}.get(end.kind):
            self._not_before[key] = time.monotonic() + wait_s
        self._changed.set()

    async def _end_all(self, keys: list[tuple[str, str]]) -> None:
        tasks = [self._running.pop(key).task for key in keys]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)

    # -- what is written

    async def _disable(self, name: str, reason: str) -> None:
        """Said in the document, so to everybody. Somebody who changed it meanwhile is right."""
        endpoint, revision = self._endpoints.get(name, (None, 0))
        if endpoint is None or endpoint.state != "active":
            return
        log.error("an endpoint is disabled", endpoint=name, reason=reason)
        now = self._clock.now_ms() // 1000
        changed = endpoint.put_into("disabled", now, reason[:500])
        try:
            await self._documents.put(PREFIX + name, msgspec.json.encode(changed), revision)
        except Conflict:
            return
        except DocumentsError as error:
            log.warning("that it is disabled is said later", endpoint=name, reason=str(error))

    async def _replayed(self, name: str, replay: str) -> None:
        found = self._replays.get(name)
        if found is None or found.id != replay:
            return
        del self._replays[name]  # that the document is gone is heard later
        log.info("events were replayed", endpoint=name, replay=replay)
        try:
            await self._documents.delete(REPLAYS + name)
            await self._log.drop(found.group(name))
        except (DocumentsError, StoreError) as error:
            log.warning("a replay that is done is still noted", endpoint=name, reason=str(error))

    def _forget(self, group: str) -> None:
        async def drop() -> None:
            try:
                await self._log.drop(group)
            except StoreError as error:
                log.warning("the place of an endpoint that is gone is kept", group=group, reason=str(error))

        self._forgetting = asyncio.create_task(drop())

    # -- what is said

    def remarks(self) -> Mapping[str, Check]:
        return {"endpoints": self._problem}

    def _problem(self) -> str | None:
        off = [
            f"{name} is disabled: {endpoint.why}"
            for name, (endpoint, _) in sorted(self._endpoints.items())
            if endpoint.state == "disabled"
        ]
        off += [f"{name} was written by another version" for name in sorted(self._unread)]
        return "; ".join(off) or None

    def sources(self) -> Mapping[str, Source]:
        return {"endpoints": self._numbers}

    def _numbers(self) -> dict[str, object]:
        """Of the endpoints that are this process's own."""
        owned = [name for name in self._endpoints if self.owns(name)]
        found: dict[str, object] = {
            "disabled": {name: int(self._endpoints[name][0].state == "disabled") for name in owned},
            "lag_events": {name: lag.events for name, lag in self.lags.known.items()},
            "lag_seconds": {name: lag.seconds for name, lag in self.lags.known.items()},
        }
        tallies = {name: self.tally(name) for name in owned}
        found["delivered"] = {name: tally.delivered for name, tally in tallies.items()}
        found["letters"] = {name: tally.letters for name, tally in tallies.items()}
        found["gaps"] = {name: tally.gaps for name, tally in tallies.items()}
        found["requests"] = {name: dict(tally.requests) for name, tally in tallies.items()}
        return found


def _spec(endpoint: Endpoint, task: Task, replay: str) -> Spec:
    return Spec(
        endpoint.url,
        endpoint.kinds,
        endpoint.env,
        endpoint.format,
        endpoint.batch,
        endpoint.login,
        task.group,
        task.begun,
        replay,
    )

"""What an endpoint has been read and not been given yet: a state machine without a clock and without I/O.

    log --add--> lane of each key, in order --take--> under way --delivered--> done
                    ^                                    |
                    +------ refused / failed ------------+------ given up ----> buried (a dead letter)

`low` is the place in the log up to which everything is done: what is kept of a reader. Events above it may
be given again after a death, never skipped.

* A key (a conversation) has one lane: one event of it is under way, or several in one batch; the next follow
  when that was answered. So its order is kept, whatever the endpoint answers.
* `failed`: the endpoint as a whole did not work (nobody there, 503, no answer in time). It is left alone for
  a while that doubles, and asked with one event of the next lane until one is answered: taken or refused.
* `refused`: it works and does not take this (400, 500). Of a batch each lane is asked alone; a lane that is
  refused alone waits by itself, and the others go on. After `give_up_ms` its first event is given up. Where
  lanes that wait leave less than a batch's room of the window, this is so at once: others wait for nobody.
* Refused by lane after lane, nothing taken in between: then it is the endpoint, and nothing is given up. One
  lane counts once, however many of its events are refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from im_service.outbox.ports import Cursor, Event
from im_service.outbox.trouble import NO_TROUBLE, REFUSED_MOST, Refused, Trouble


class Rules(Struct, frozen=True, kw_only=True):
    """Bounds of one endpoint; times in milliseconds. `events`, `bytes`: in memory and not given yet;
    `spread`: how far it may read beyond `low`; `at_once`: batches under way."""

    events: int = 1_000
    bytes: int = 2 << 20
    spread: int = 20_000
    at_once: int = 4
    batch_bytes: int = 512 << 10
    first_ms: int = 1_000
    longest_ms: int = 3_600_000
    give_up_ms: int = 24 * 3_600_000
    suspect: int = 8
    """lanes refused in a row that make it the endpoint"""
    suspect_ms: int = 30_000
    """the longest that it is left alone for that"""


class Held(Struct):
    """One event. `cursor`: reading after it goes on behind this event; `before`: with it. `event` None: it is
    done."""

    before: Cursor
    cursor: Cursor
    key: str
    size: int
    event: Event | None


class Lane(Struct):
    """The events of one key that are not done, in order. `strikes`, `since`: of the first of them. `mark`:
    what the endpoint had taken when this failed last."""

    items: deque[Held]
    busy: bool = False
    alone: bool = False
    strikes: int = 0
    since: int | None = None
    until: int = 0
    mark: int = -1


STANDARD = Rules()


class Window:
    """`after`: where reading begins. `random` in [0, 1) spreads what waits. `batch`: events of a request.
    `before`: how badly it went until here."""

    def __init__(
        self,
        after: Cursor,
        batch: int,
        rules: Rules = STANDARD,
        random: Callable[[], float] = lambda: 1.0,
        before: Trouble = NO_TROUBLE,
    ) -> None:
        self.low = self.read = after
        self.failures = 0
        self.failing_since: int | None = None
        """None: the last answer was a good one, or there was none yet"""
        self._failing_before = before.failing_ms
        self._refused_before = dict(before.refused)
        """Of events that were not asked about yet. One that never comes again leaves room for others."""
        self.delivered_total = 0
        self._batch = batch
        self._rules = rules
        self._random = random
        self._order: deque[Held] = deque()
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[str, None] = {}
        self._waiting: set[str] = set()
        self._narrow = max(1, min(batch, rules.events // 4, rules.spread // 4))
        self._open = self._bytes = self._busy = 0
        self._until = 0
        self._refused: set[str] = set()
        """keys of which the endpoint refused something since it took anything"""

    # -- what comes in

    @property
    def room(self) -> int:
        """Events that may be read now."""
        if self._bytes >= self._rules.bytes:
            return 0
        return max(0, min(self._rules.events - self._open, self._rules.spread - len(self._order)))

    @property
    def open(self) -> int:
        """Events read and not done."""
        return self._open

    @property
    def busy(self) -> int:
        """Batches under way."""
        return self._busy

    def add(self, events: Sequence[tuple[Event, int]], read: Cursor) -> None:
        """The next of the log, each with its bytes, and where reading goes on."""
        before = self.read
        for event, size in events:
            item = Held(before, event.cursor, event.subject, size, event)
            before = event.cursor
            self._order.append(item)
            self._open += 1
            self._bytes += size
            lane = self._lanes.get(event.subject)
            if lane is None:
                lane = self._lanes[event.subject] = Lane(deque())
                self._ready[event.subject] = None
            lane.items.append(item)
        self.read = read
        self._settle()

    # -- what goes out

    def take(self, now: int) -> list[Held]:
        """The next batch; empty: nothing may go now."""
        rules = self._rules
        doubtful = self.doubtful
        if now < self._until or self._busy >= (1 if doubtful else rules.at_once):
            return []
        for key in [key for key in self._waiting if self._lanes[key].until <= now]:
            self._waiting.discard(key)
            self._ready[key] = None
        most = 1 if doubtful else self._batch
        taken: list[Held] = []
        size = 0
        for key in list(self._ready):
            lane = self._lanes[key]
            if lane.alone and taken:
                continue
            for item in lane.items:
                if taken and (size + item.size > rules.batch_bytes):
                    break
                taken.append(item)
                size += item.size
                if lane.alone or len(taken) >= most:
                    break
            if taken and taken[-1].key == key:
                lane.busy = True
                del self._ready[key]
            if lane.alone or len(taken) >= most or size >= rules.batch_bytes:
                break
        self._busy += bool(taken)
        return taken

    @property
    def doubtful(self) -> bool:
        """The endpoint as a whole does not work, as far as is known."""
        return self.failures > 0 or len(self._refused) >= self._rules.suspect

    def wakes_at(self) -> int | None:
        """When `take` may answer what it does not now; None: not by time alone."""
        times = [self._lanes[key].until for key in self._waiting]
        if self._ready:
            times.append(self._until)
        if not times or self._busy >= (1 if self.doubtful else self._rules.at_once):
            return None
        return max(min(times), self._until)

    # -- what came of it

    def delivered(self, batch: Sequence[Held]) -> None:
        self._busy -= 1
        self.failures = self._until = 0
        self.failing_since = self._failing_before = None
        self._refused.clear()
        self.delivered_total += len(batch)
        self._done(batch)

    def failed(self, batch: Sequence[Held], now: int, after_ms: int = 0) -> bool:
        """The endpoint did not work; it may have named a time to come back after. True: it is this very
        event, as others were taken meanwhile, and is to be given up (`buried`)."""
        self._busy -= 1
        self.failures += 1
        self._fails(now)
        self._until = now + max(after_ms, self._wait_ms(self.failures, self._rules.longest_ms))
        first = self._lanes[batch[0].key]
        if len(batch) == 1 and first.mark not in (-1, self.delivered_total):
            # Others were taken since it failed last.
            return self._strike(first, batch, now)
        for item in batch:
            lane = self._lanes[item.key]
            lane.alone, lane.mark = True, self.delivered_total
        self._again(batch, now)
        return False

    def refused(self, batch: Sequence[Held], now: int) -> bool:
        """It takes the batch not. True: the event that it is, alone, is to be given up (`buried`)."""
        self._busy -= 1
        self.failures = 0  # it is there; all that it would take may lie behind what it refuses
        self._fails(now)
        if len(batch) > 1:
            for item in batch:
                self._lanes[item.key].alone = True
            self._again(batch, now)
            return False
        lane = self._lanes[batch[0].key]
        if batch[0].key not in self._refused:
            self._refused.add(batch[0].key)
            if (past := len(self._refused) - self._rules.suspect + 1) > 0:
                self._until = now + self._wait_ms(past, self._rules.suspect_ms)
        return self._strike(lane, batch, now)

    def _fails(self, now: int) -> None:
        if self.failing_since is None:
            self.failing_since = now - (self._failing_before or 0)

    def _strike(self, lane: Lane, batch: Sequence[Held], now: int) -> bool:
        lane.mark = self.delivered_total
        lane.alone = True
        if lane.since is None:
            before = self._refused_before.pop(_id(batch[0]), Refused(0, 0))
            lane.since, lane.strikes = now - before.ms, before.times
        lane.strikes += 1
        if now - lane.since >= self._rules.give_up_ms and len(self._refused) < self._rules.suspect:
            return True
        lane.until = now + self._wait_ms(lane.strikes, self._rules.longest_ms)
        self._again(batch, now)
        return False

    def in_the_way(self, now: int) -> Held | None:
        """The event to be given up now since it alone keeps others from being read (`buried`)."""
        if self.room >= self._narrow or self._busy or self._ready or self.doubtful or not self._order:
            return None
        oldest = self._order[0]
        lane = self._lanes[oldest.key]
        if lane.busy or not lane.strikes or lane.until <= now:
            return None
        self._waiting.discard(oldest.key)
        lane.busy = True
        return oldest

    def buried(self, item: Held) -> None:
        """It is kept as a dead letter, durably: its lane goes on, the next event alone."""
        lane = self._lanes[item.key]
        lane.until = 0
        self._done([item])
        lane.alone = True
        if not self._open:  # nothing is asked of it that it could answer well
            self.failing_since = self._failing_before = None

    def unburied(self, item: Held, until: int) -> None:
        """It could not be kept now."""
        self._lanes[item.key].until = until
        self._again([item], until - 1)

    def put_back(self, batch: Sequence[Held]) -> None:
        """Nothing is known of it, and nobody is to blame: this process ends, or its sink is not there yet."""
        self._busy -= 1
        self._again(batch, 0)

    def trouble(self, now: int) -> Trouble:
        """How badly it goes, for the next reader."""
        lanes = [lane for lane in self._lanes.values() if lane.since is not None]
        struck = {_id(lane.items[0]): Refused(now - (lane.since or 0), lane.strikes) for lane in lanes}
        refused: dict[str, Refused] = {}
        for known in (struck, self._refused_before):
            longest = sorted(known.items(), key=lambda pair: pair[1], reverse=True)
            refused |= dict(longest[: REFUSED_MOST - len(refused)])
        failing = self._failing_before if self.failing_since is None else now - self.failing_since
        return Trouble(failing, refused)

    # -- inside

    def _done(self, batch: Sequence[Held]) -> None:
        keys = dict.fromkeys(item.key for item in batch)
        for item in batch:
            lane = self._lanes[item.key]
            first = lane.items.popleft()
            assert first is item, "events of a key are done in order"
            self._refused_before.pop(_id(item), None)
            item.event = None
            self._open -= 1
            self._bytes -= item.size
        for key in keys:
            lane = self._lanes[key]
            lane.busy = lane.alone = False
            lane.strikes, lane.since = 0, None
            lane.mark = -1
            if lane.items:
                self._ready[key] = None
            else:
                del self._lanes[key]
        self._settle()

    def _again(self, batch: Sequence[Held], now: int) -> None:
        """To the end of the lanes that are ready, or to wait."""
        for key in dict.fromkeys(item.key for item in batch):
            lane = self._lanes[key]
            lane.busy = False
            if lane.until > now:
                self._waiting.add(key)
            else:
                self._ready[key] = None

    def _settle(self) -> None:
        while self._order and self._order[0].event is None:
            self.low = self._order.popleft().cursor
        if not self._order:
            self.low = self.read

    def _wait_ms(self, times: int, longest: int) -> int:
        """Doubles each time; between a half of it and all of it."""
        whole = min(longest, self._rules.first_ms << min(times - 1, 40))
        return int(whole * (0.5 + 0.5 * self._random()))


def _id(item: Held) -> str:
    assert item.event is not None, "it is not done"
    return item.event.event_id

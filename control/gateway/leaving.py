"""Sessions that shall leave, found in the core a few at a time and told at a pace.

`Picker` asks the core for sessions. Nothing is kept here of those who are not about to be told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from control.gateway.conn_ids import loop_of
from control.part import Numbers

ANY = (1 << 64) - 1
"""Above every session id."""
AGAIN_S = 1.0
"""After a round that found nobody, who came meanwhile is looked for again."""
ANSWER_S = 5.0
"""Of a pick that no word came of for so long nothing comes any more: another one stood in for it."""
MOST = 2048
"""Asked of a loop at once."""
STALL_S = 0.25
"""What a pace missed for longer than this is not made up for: nobody gets a burst."""


class LeavingCore(Protocol):
    """What leaving needs of the core."""

    def pick(self, loop: int, most: int, idle_s: int, before: int) -> None: ...
    def send_away(self, conn: int, goaway: bytes, after_s: int, code: int) -> None: ...
    def stay(self) -> None: ...
    def stats(self) -> Numbers: ...


class Picked(NamedTuple):
    """A session that shall leave."""

    conn: int
    user: str
    device: str
    websocket: bool


class Pace:
    """So many a second, evenly."""

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._at = now
        self._owed = 1.0

    def due(self, now: float) -> int:
        """How many may be told now: one at the very first."""
        self._owed = min(self._owed + (now - self._at) * self._per_s, 1 + self._per_s * STALL_S)
        self._at = now
        return int(self._owed)

    def told(self, count: int) -> None:
        self._owed -= count


class Round(NamedTuple):
    """Who is looked for: sessions that have been silent for `idle_s`, with an id below `before`."""

    idle_s: int
    before: int = ANY


class Picker:
    """Finds sessions round by round, in each loop by loop; in the last round once in a while, for who came
    meanwhile.
    """

    def __init__(
        self, core: LeavingCore, loops: int, clock: Callable[[], float], rounds: Sequence[Round]
    ) -> None:
        self._core = core
        self._loops = loops
        self._clock = clock
        self._rounds = rounds
        self._found: deque[Picked] = deque()
        self._round = 0
        self._loop = 0
        self._asked = 0  # of that loop, not heard of yet
        self._heard = 0.0
        self._rest_until = 0.0

    @property
    def asks(self) -> bool:
        """Some were asked for and have not been heard of."""
        return self._asked > 0

    def again(self) -> None:
        """As if nobody had been looked for; who was found is kept."""
        self._round = self._loop = self._asked = 0
        self._rest_until = 0.0

    def on_picked(self, conn: int, user: str, device: str, websocket: bool) -> None:
        """An EV_PICKED that was asked for."""
        self._heard = self._clock()
        if user:
            self._found.append(Picked(conn, user, device, websocket))
            self._asked = max(0, self._asked - 1)
        elif loop_of(conn) == self._loop:
            self._asked = 0
            self._next_loop()

    def want(self, count: int) -> None:
        """Have so many ready soon. Raises what a core raises that takes no command now."""
        missing, now = min(count - len(self._found), MOST), self._clock()
        waits = self._asked and now - self._heard < ANSWER_S
        if missing <= 0 or waits or now < self._rest_until:
            return
        live = self._core.stats()["live"]
        if live["sessions"] <= live["told"]:
            self._rest_until = now + AGAIN_S
            return
        self._asked, self._heard = missing, now
        try:
            self._core.pick(self._loop, missing, *self._rounds[self._round])
        except Exception:
            self._asked = 0  # nobody was asked
            raise

    def take(self) -> Picked | None:
        return self._found.popleft() if self._found else None

    def back(self, picked: Picked) -> None:
        """It could not be told now."""
        self._found.appendleft(picked)

    def __len__(self) -> int:
        return len(self._found)

    def _next_loop(self) -> None:
        self._loop += 1
        if self._loop < self._loops:
            return
        self._loop = 0
        if self._round + 1 < len(self._rounds):
            self._round += 1
        else:
            self._rest_until = self._clock() + AGAIN_S


def ahead(per_s: float, step_s: float) -> int:
    """Sessions to have ready, so that no step waits for the core."""
    return math.ceil(per_s * step_s * 2) + 1

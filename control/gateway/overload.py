"""The overload ladder: what is left undone, step by step, while there is more to do than can be done.

    1 wait     what can wait waits: nobody moves for their age, SYNC hints are spread further
    2 leave    presence and notices of who came and went are not sent
    3 door     newcomers wait outside; who was here before comes in
    4 readers  who sends much is read more slowly (conn/easing.pyx)
    5 room     who has been idle for long is sent elsewhere, at gateway.leaving.per_s

Heartbeats, acks and messages are on no step. Each input has a threshold for each step; a step is taken when
an input has been over its threshold for `rise_s`, and left when all have been clearly below for `fall_s`: a
part `falls_to` of it. One step down at a time, as what was held back comes again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from control.logs import get_logger
from control.part import Numbers
from control.settings.storms import STEPS, OverloadSection

log = get_logger("gateway")

EASE_AGES, EASE_READS, EASE_EVENTS = 1, 2, 4
"""What the core eases (gateway_core/types.pxd)."""
NAMES = ("nothing", "timers wait", "no presence", "known only", "heavy senders slowed", "idle sent elsewhere")


class Load(NamedTuple):
    """Inputs, each in the unit of its thresholds."""

    loop_share: float = 0.0
    wait_ms: float = 0.0
    memory_share: float = 0.0
    queue_share: float = 0.0


class Thresholds(NamedTuple):
    """Of each input, in the order of Load: one for each step, 0: never."""

    loop_share: Sequence[float]
    wait_ms: Sequence[float]
    memory_share: Sequence[float]
    queue_share: Sequence[float]


class Eased(Protocol):
    """Who does what the ladder asks for."""

    def ease(self, what: int) -> None: ...


class Gauge:
    """Load of the core since the reading before, from its own counters; of memory as it is now."""

    def __init__(
        self,
        stats: Callable[[], Numbers],
        memory_bytes: int,
        clock: Callable[[], float],
        resident: Callable[[], int],
    ) -> None:
        self._stats = stats
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._resident = resident
        self._before: tuple[float, Mapping[int | str, int], float] | None = None

    def read(self) -> Load:
        stats, now = self._stats(), self._clock()
        turns: Mapping[int | str, int] = stats["turns"]
        share = wait_ms = 0.0
        if self._before is not None and now > self._before[0]:
            at, counted, busy_ms = self._before
            loops, passed_ms = max(1, stats["loops"]), (now - at) * 1000
            share = min(1.0, (stats["turns_sum_ms"] - busy_ms) / passed_ms / loops)
            grown = {bound: count - counted.get(bound, 0) for bound, count in turns.items()}
            wait_ms = mean_wait_ms(grown, passed_ms * loops)
        self._before = (now, dict(turns), stats["turns_sum_ms"])
        memory = self._resident() / self._memory_bytes if self._memory_bytes else 0.0
        return Load(share, wait_ms, memory, max(stats["max_mailbox_fill"], stats["max_events_fill"]))


def mean_wait_ms(turns: Mapping[int | str, int], passed_ms: float) -> float:
    """How long a byte that comes at any time waits for the end of the turn that it comes in: half of the sum
    of the squares of the turns (bound in ns -> how many), over the time. One long turn weighs little, many
    weigh much.
    """
    if passed_ms <= 0:
        return 0.0
    bounds = [bound for bound in turns if isinstance(bound, int)]
    squares = sum(turns[bound] * (bound / 1e6) ** 2 for bound in bounds)
    squares += turns.get("over", 0) * (max(bounds, default=0) / 1e6) ** 2
    return squares / 2 / passed_ms


class Ladder:
    """`seconds` between two looks. `step` is the one that holds."""

    def __init__(self, settings: OverloadSection) -> None:
        self._settings = settings
        self._thresholds = Thresholds(
            settings.loop_share, settings.wait_ms, settings.memory_share, settings.queue_share
        )
        self._over = [0.0] * STEPS  # seconds, of each step
        self._below = 0.0
        self.step = 0
        self.load = Load()
        self.taken = [0] * STEPS

    def look(self, load: Load, seconds: float) -> int:
        """The step that holds from now on."""
        self.load = load
        settings = self._settings
        over = self._highest(load, 1.0)
        self._over = [held + seconds if step < over else 0.0 for step, held in enumerate(self._over)]
        risen = sum(held >= settings.rise_s for held in self._over[:over])
        if risen > self.step:
            self._go(risen)
        elif self._highest(load, settings.falls_to) >= self.step:
            self._below = 0.0
        else:
            self._below += seconds
            if self._below >= settings.fall_s:
                self._go(self.step - 1)
        return self.step

    def _highest(self, load: Load, part: float) -> int:
        """The highest step of which some input is over that part of its threshold."""
        for step in range(STEPS, 0, -1):
            for value, thresholds in zip(load, self._thresholds, strict=True):
                threshold = thresholds[step - 1]
                if threshold and value >= threshold * part:
                    return step
        return 0

    def _go(self, step: int) -> None:
        load = {name: round(value, 3) for name, value in self.load._asdict().items()}
        log.warning("overload step", step=step, what=NAMES[step], before=self.step, **load)
        for each in range(self.step, step):
            self.taken[each] += 1
        self.step = step
        self._below = 0.0


def eased_by(step: int) -> int:
    """Bits for the core."""
    what = EASE_AGES if step >= 1 else 0
    what |= EASE_EVENTS if step >= 2 else 0
    return what | (EASE_READS if step >= 4 else 0)


def resident_bytes() -> int:
    """Memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


CGROUP = Path("/sys/fs/cgroup/memory.max")


def memory_there(limit: Path = CGROUP, machine: Path = Path("/proc/meminfo")) -> int:
    """What this process may hold at most: its control group's limit, or the machine's memory."""
    try:
        text = limit.read_text().strip()
    except OSError:
        text = "max"
    whole = int(machine.read_text().split()[1]) * 1024
    return min(int(text), whole) if text.isdecimal() else whole

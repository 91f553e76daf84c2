"""Carries out the steps of the overload ladder, once a tick."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from control.gateway.admission import Admission
from control.gateway.moves import Moves
from control.gateway.overload import NAMES, Eased, Gauge, Ladder, eased_by
from control.gateway.sync_hints import SyncHints
from control.part import Numbers

STRETCHED = 4.0
"""Times as long as usual, for what can wait."""


class Easing:
    """`busy`: the exceptions of a core that takes no command now."""

    def __init__(
        self,
        core: Eased,
        gauge: Gauge,
        ladder: Ladder,
        admission: Admission,
        moves: Moves,
        hints: SyncHints,
        busy: tuple[type[Exception], ...],
        clock: Callable[[], float],
    ) -> None:
        self._core = core
        self._gauge = gauge
        self._ladder = ladder
        self._admission = admission
        self._moves = moves
        self._hints = hints
        self._busy = busy
        self._clock = clock
        self._looked = clock()
        self._eased = 0

    def tick(self) -> None:
        now = self._clock()
        step = self._ladder.look(self._gauge.read(), now - self._looked)
        self._looked = now
        self._hints.stretch = STRETCHED if step >= 1 else 1.0
        self._admission.hold("known" if step >= 3 else "all")
        self._moves.make_room(step >= 5)
        if (what := eased_by(step)) != self._eased:
            with suppress(*self._busy):  # a full mailbox is what it is for: tried again
                self._core.ease(what)
                self._eased = what

    def numbers(self) -> Numbers:
        ladder = self._ladder
        taken = {name: ladder.taken[step] for step, name in enumerate(NAMES[1:])}
        load = {f"max_{name}": value for name, value in ladder.load._asdict().items()}
        return {"max_step": ladder.step, "taken": taken, "load": load}

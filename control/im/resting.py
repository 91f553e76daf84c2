"""An im process that alone reaches no store lets others serve its users: they take it for dead until it says
that the store answers again. Where the store is away for all, nobody rests: what waits is done sooner so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from control.coordination.base import NodeInfo
from control.logs import get_logger

log = get_logger("im")


class Resting:
    """`problem`: why the store takes no commit. `others`: the other im processes that live. It rests when one
    of them has been well for `after_s` while this one was not; 0: never.
    """

    def __init__(
        self,
        problem: Callable[[], str | None],
        others: Callable[[], Iterable[NodeInfo]],
        after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._problem = problem
        self._others = others
        self._after_s = after_s
        self._clock = clock
        self._since: float | None = None
        self.unwell = False
        self.rests = False

    def look(self) -> None:
        """Called about once a second."""
        self.unwell = self._problem() is not None
        if not self.unwell or all(info.unwell for info in self._others()):
            self._since = None
        elif self._since is None:
            self._since = self._clock()
        rests = self._since is not None and 0 < self._after_s <= self._clock() - self._since
        if rests != self.rests:
            self.rests = rests
            log.warning(
                "the store answers other im processes: they serve the users of this one"
                if rests
                else "this im process serves its users again"
            )

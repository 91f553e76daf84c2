"""Is it the bus that is away, or this process that is cut off from it? Etcd tells.

    cut-off/<id>   the epoch of a life of the node that hears nothing on the bus; gone when it hears again

Everybody writes it while the bus is away. Where another of the same role is listed and has not, for longer
than it takes to notice, this one is alone: what is given to it is not done, and others would do it.

A bus in two parts carries something for each. Then the smaller side is cut off: those who hear less than
half of the processes that are more than gateways, as etcd lists them; of two halves the one that has not the
lowest number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from control.coordination.base import NodeInfo
from control.coordination.documents import Documents, DocumentsError
from control.coordination.roster import CUT_OFF, Roster
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Part

log = get_logger("coordination")


class CutOff(Part):
    """`documents`: all keys of the cluster, written as the owner of the node id. `problem`: why nobody is
    heard on the bus. `alone(yes)` is called when that has been so for `after_s` while others of `role` heard
    all, and when it is over. 0: never.
    """

    def __init__(
        self,
        documents: Documents,
        roster: Roster,
        own: Peer,
        role: str,
        problem: Callable[[], str | None],
        after_s: float,
        alone: Callable[[bool], None] = lambda yes: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._roster = roster
        self._own = own
        self._role = role
        self._problem = problem
        self._after_s = after_s
        self._tell_alone = alone
        self._clock = clock
        self._said = False
        self.alone = False
        self._since: float | None = None
        self._saying: asyncio.Task[None] | None = None

    async def tick(self) -> None:
        away = self._problem() is not None
        if away != self._said and (self._saying is None or self._saying.done()):
            self._saying = asyncio.create_task(self._say(away), name="cut-off")
        if not away or not self._roster.others_hear(self._role, self._own):
            self._since = None
        elif self._since is None:
            self._since = self._clock()
        alone = self._since is not None and 0 < self._after_s <= self._clock() - self._since
        if alone != self.alone:
            self.alone = alone
            log.warning("cut off from the bus, alone" if alone else "no longer cut off from the bus, alone")
            self._tell_alone(alone)

    async def stop(self, grace_s: float = 0.0) -> None:
        if self._saying is not None:
            self._saying.cancel()
            await asyncio.gather(self._saying, return_exceptions=True)

    async def _say(self, away: bool) -> None:
        key = f"{CUT_OFF}{self._own[0]}"
        try:
            if away:
                await self._documents.put(key, str(self._own[1]).encode())
            else:
                await self._documents.delete(key)
        except DocumentsError:
            return  # the next tick tries again
        self._said = away


def smaller_side(listed: Collection[NodeInfo] | None, mute: Collection[NodeInfo]) -> str | None:
    """Why this process is on the smaller side of a bus in two parts. `listed` None: nobody knows."""
    silent = {info.node_id for info in mute}
    there = sorted(info.node_id for info in listed or () if set(info.roles) - {"gateway"})
    heard = sum(node_id not in silent for node_id in there)
    if 2 * heard < len(there) or (2 * heard == len(there) and there and there[0] in silent):
        return f"carries {heard} of {len(there)} processes"
    return None

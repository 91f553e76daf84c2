"""Who is there by etcd, and not heard on the bus: it, or this process, is on the other side of a cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from control.coordination.base import NodeInfo
from control.coordination.roster import Roster

LATE_S = 2.0
"""Beyond the silence after which a node is taken for dead: one that starts is listed before it is heard."""


class Mutes:
    """`silent`: whether nobody has heard of this life of a node lately, who should have. So long as `after_s`
    it is believed to be late, or not to have begun yet.
    """

    def __init__(self, roster: Roster | None, silent: Callable[[NodeInfo], bool], after_s: float) -> None:
        self._roster = roster
        self._silent = silent
        self._after_s = after_s
        self._since: dict[tuple[int, int], float] = {}
        self._found: list[NodeInfo] = []
        self._late: list[NodeInfo] = []

    def look(self, now: float, lost: float) -> None:
        """Once a beacon period; `lost` seconds of this process's own count against nobody. While etcd is away
        what was found stands."""
        listed = self._roster.listed() if self._roster is not None else None
        if listed is None:
            return
        silent = {(info.node_id, info.epoch): info for info in listed if self._silent(info)}
        self._since = {peer: self._since.get(peer, now) + lost for peer in silent}
        silent_for = {peer: now - since for peer, since in self._since.items()}
        self._found = [info for peer, info in silent.items() if silent_for[peer] > self._after_s]
        self._late = [info for peer, info in silent.items() if silent_for[peer] > LATE_S]

    def late(self) -> list[NodeInfo]:
        """These, and those that are silent since a moment ago: nobody can say that they heard an order."""
        return self._late

    def nodes(self) -> list[NodeInfo]:
        """By node id; their name and roles are those that etcd has."""
        return self._found


def names_of(nodes: Sequence[NodeInfo]) -> str:
    return ", ".join(info.name or str(info.node_id) for info in nodes)

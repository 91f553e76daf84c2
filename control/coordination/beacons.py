"""Membership kept in memory and renewed by beacons over the bus; in one process the bus is memory as well.

With etcd the roster says more: a node that is silent lives on while it is listed, one that is listed no
more lives on while it is heard, and one whose number has gone to another is over. While etcd is away, silence
alone counts. A listed one that is not heard for long though others are is cut off from the bus: nothing that
is given to it is done, so it is gone until it is heard. So is an im process that the bus does not know.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from control.bus.base import Bus
from control.coordination.absences import Absences
from control.coordination.base import NodeInfo
from control.coordination.clocks import KEPT, Clocks, said
from control.coordination.mutes import Mutes, names_of
from control.coordination.roster import Roster
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Check, Numbers, Part, Source
from control.ticks import ticks

log = get_logger("coordination")

SUBJECT = "node"
GATEWAY_SUBJECT = "node-gateway"
MUTE_TIMES = 2
"""Of `dead_after_s`, after the first: so long others are heard and a listed node is not, until it is gone.
One that stands still for a moment, or is starved by a full machine, has three in all."""
SAID_LOOKS = 3
"""The same for one that says in etcd that it hears nothing: more than a bus that goes away for all leaves
between the last words of two."""
LATE_BEACONS = 1.5
"""Silent for so long, the bus is asked whether it knows an im process: calls for its users wait for this. A
gateway gets `dead_after_s`, or its lease: to be taken for dead costs each of its sessions a word."""
REMEMBERED = 16
"""Epochs of one node id that are known to be over: later ones push the oldest out."""
_encode = msgspec.msgpack.Encoder().encode


class _Beacon(msgspec.Struct, array_like=True):
    """`clock`: what the wall clock showed when it was sent; 0: not told."""

    info: NodeInfo
    leaving: bool = False
    clock: float = 0.0


class BeaconCoordination(Part):
    """Implements Coordination. `beacon_s` is the period of renewal, `dead_after_s` the silence that means
    death. A process with `hears_gateways` False knows of no gateway but itself: gateways do not speak to each
    other, and the beacons of each to each would grow with the square of their number. A clock that is further
    than `clock_off_s` from the others' is told; a node whose clock is further than `clock_wrong_s` is shown
    with it (NodeInfo.clock_s).
    """

    def __init__(
        self,
        bus: Bus,
        beacon_s: float,
        dead_after_s: float,
        static: tuple[NodeInfo, ...] = (),
        clock: Callable[[], float] = time.monotonic,
        hears_gateways: bool = True,
        roster: Roster | None = None,
        clocks: Clocks | None = None,
        clock_off_s: float = math.inf,
        clock_wrong_s: float = math.inf,
    ) -> None:
        self._bus = bus
        self._hears_gateways = hears_gateways
        self._subscribing = asyncio.Lock()
        self._roster = roster
        self._mutes = Mutes(roster, self._is_silent, MUTE_TIMES * dead_after_s)
        self._beacon_s = beacon_s
        self._dead_after_s = dead_after_s
        self._static = static
        self._clock = clock
        self.clocks = clocks or Clocks()
        self._clock_off_s = clock_off_s
        self._clock_wrong_s = clock_wrong_s
        self._clock_off_for = 0  # beacons
        self._own: NodeInfo | None = None
        self._nodes: dict[int, NodeInfo] = {}
        self._heard: dict[int, float] = {}
        self._absences = Absences(bus, self._on_absent)
        self._missed: dict[int, int] = {}  # looks at which this node was silent and another was not
        self._judged: float | None = None
        self._replaced: dict[int, deque[int]] = {}  # by the epoch that is live now
        self._left: dict[int, deque[int]] = {}
        self._roles: dict[int, tuple[str, ...]] = {}
        self._resting: dict[int, int] = {}  # node id -> epoch, until it says otherwise
        self._latest_login = 0
        self._callbacks: list[tuple[str | None, Callable[[NodeInfo, bool], None]]] = []
        self._decode = msgspec.msgpack.Decoder(_Beacon).decode
        self._task: asyncio.Task[None] | None = None

    def nodes(self, role: str | None = None) -> list[NodeInfo]:
        known = [self._nodes[node_id] for node_id in sorted(self._nodes)]
        if self._static and role == "gateway":
            return list(self._static)
        found = [node for node in known if node.name and (role is None or role in node.roles)]
        return [self._as_it_stands(node) for node in found]

    def mute(self) -> list[NodeInfo]:
        return self._mutes.nodes()

    def late(self) -> list[NodeInfo]:
        return self._mutes.late()

    def _as_it_stands(self, node: NodeInfo) -> NodeInfo:
        """With what it does not know of itself."""
        if self._roster is not None and self._roster.lists((node.node_id, node.epoch)) is False:
            node = msgspec.structs.replace(node, lapsed=True)
        ahead_s = self.clocks.surely_ahead_s(None if self._is_own(node.node_id) else node.node_id)
        if abs(ahead_s) > self._clock_wrong_s:
            node = msgspec.structs.replace(node, clock_s=ahead_s)
        return node

    def sources(self) -> Mapping[str, Source]:
        return {"nodes": self._numbers}

    def _numbers(self) -> Numbers:
        nodes = self.nodes()
        return {
            "max_nodes": len(nodes),
            "max_lapsed": sum(node.lapsed for node in nodes),
            "max_mute": len(self.mute()),
            "max_draining": sum(node.draining for node in nodes),
            "max_clock_off_s": abs(self.clocks.ahead_s()),
        }

    def remarks(self) -> Mapping[str, Check]:
        return {"clock": self._clock_off, "nodes": self._not_heard}

    def _not_heard(self) -> str | None:
        mute = names_of(self.mute())
        return f"listed by etcd, not heard on the bus: {mute}" if mute else None

    def _clock_off(self) -> str | None:
        ahead_s = self.clocks.ahead_s()
        return said(ahead_s) if abs(ahead_s) > self._clock_off_s else None

    def _tell_of_the_clock(self) -> None:
        """Once all beacons are new that it is judged by: those that waited while this process stood still say
        that it is ahead."""
        off = self._clock_off()
        self._clock_off_for = self._clock_off_for + 1 if off else 0
        if self._clock_off_for == KEPT:
            log.error("this process's clock is not that of the others", clock=off)

    def epoch_of(self, node_id: int) -> int | None:
        node = self._nodes.get(node_id)
        return node.epoch if node else None

    def hear(self, peer: Peer, role: str) -> bool:
        node_id, epoch = peer
        known = self._nodes.get(node_id)
        if self._resting.get(node_id) == epoch:
            return False
        if known is not None and known.epoch == epoch and role in known.roles:
            self._heard[node_id] = self._clock()
            return True
        roles = (role,) if known is None or known.epoch != epoch else (*known.roles, role)
        return self._see(NodeInfo(node_id, epoch, "", roles))

    @property
    def latest_login(self) -> int:
        return self._latest_login

    def roles_of(self, node_id: int) -> tuple[str, ...]:
        return self._roles.get(node_id, ())

    def announce(self, info: NodeInfo) -> None:
        before, self._own = self._own, info
        self._see(info)
        if before is None or before.draining != info.draining:
            self._publish(leaving=False)  # a load that changed waits for the next beacon

    def on(self, role: str | None, callback: Callable[[NodeInfo, bool], None]) -> None:
        self._callbacks.append((role, callback))
        for node in list(self._nodes.values()):
            _tell(role, callback, node, True)

    async def hear_gateways(self) -> None:
        async with self._subscribing:
            if not self._hears_gateways:
                await self._bus.subscribe(GATEWAY_SUBJECT, self._on_beacon)
                self._hears_gateways = True

    async def start(self) -> None:
        if self._roster is not None:
            await self._roster.start()
            self._roster.on_change(self._on_listed)
        await self._bus.subscribe(SUBJECT, self._on_beacon)
        if self._hears_gateways:
            await self._bus.subscribe(GATEWAY_SUBJECT, self._on_beacon)
        self._task = asyncio.create_task(self._run(), name="coordination")

    async def stop(self, grace_s: float = 0.0) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._absences.stop()
        if self._own is not None:
            self._publish(leaving=True)
            await self._bus.flush()
        if self._roster is not None:
            await self._roster.stop(grace_s)

    def expire(self) -> None:
        """Forget nodes that have been silent for longer than the dead time. Called once a beacon period.

        A process that stood still itself has heard nobody: what was said meanwhile still waits to be read, so
        the time it lost counts against nobody.
        """
        now = self._clock()
        lost = now - self._judged - self._beacon_s if self._judged is not None else 0.0
        self._judged = now
        if lost > self._beacon_s:
            for node_id in self._heard:
                self._heard[node_id] += lost
        for node_id, heard in list(self._heard.items()):
            if self._is_own(node_id) or now - heard <= self._dead_after_s:
                self._missed.pop(node_id, None)
            elif not self._is_listed(node_id):
                self._forget(node_id, "silent")
            elif self._is_mute(node_id, now):
                self._forget(node_id, "cut off from the bus")
        self._mutes.look(now, max(lost, 0.0) if lost > self._beacon_s else 0.0)

    def _is_silent(self, listed: NodeInfo) -> bool:
        """Nobody hears gateways where they are not subscribed to; who rests, or leaves, has said so."""
        node_id, epoch = listed.node_id, listed.epoch
        if self._is_own(node_id) or not (self._hears_gateways or set(listed.roles) - {"gateway"}):
            return False
        if self._resting.get(node_id) == epoch or epoch in self._left.get(node_id, ()):
            return False
        heard = self._heard.get(node_id, -math.inf) if self.epoch_of(node_id) == epoch else -math.inf
        return self._clock() - heard > self._dead_after_s

    def _is_own(self, node_id: int) -> bool:
        return self._own is not None and self._own.node_id == node_id

    def look(self) -> None:
        """Ask the bus for im processes that were not heard lately. Called once a beacon period."""
        late = [self._nodes[each] for each in self._heard if self._is_late(each)]
        ims = [node for node in late if "im" in node.roles and "gateway" not in node.roles]
        self._absences.look([(node.node_id, node.epoch) for node in ims if not self._is_own(node.node_id)])

    def _is_late(self, node_id: int) -> bool:
        return self._clock() - self._heard[node_id] > LATE_BEACONS * self._beacon_s

    def _on_absent(self, peer: Peer) -> None:
        if self.epoch_of(peer[0]) == peer[1] and self._is_late(peer[0]):
            self._forget(peer[0], "absent")

    def _is_mute(self, node_id: int, now: float) -> bool:
        """A silent node, for long, or as it says in etcd. Looks at which nobody was heard do not count: the
        bus was away."""
        if any(now - at <= self._dead_after_s for each, at in self._heard.items() if not self._is_own(each)):
            self._missed[node_id] = self._missed.get(node_id, 0) + 1
        missed = self._missed.get(node_id, 0)
        peer = node_id, self._nodes[node_id].epoch
        said = self._roster is not None and self._roster.is_cut_off(peer)
        return missed >= SAID_LOOKS if said else missed * self._beacon_s > MUTE_TIMES * self._dead_after_s

    def _is_listed(self, node_id: int) -> bool:
        node = self._nodes[node_id]
        return self._roster is not None and self._roster.lists((node_id, node.epoch)) is True

    def _on_listed(self, node_id: int) -> None:
        """Its number has gone to another process: this life of it is over, whatever it says."""
        node = self._nodes.get(node_id)
        if node is not None and self._is_over(node_id, node.epoch):
            self._forget(node_id, "replaced")

    def _is_over(self, node_id: int, epoch: int) -> bool:
        return self._roster is not None and self._roster.is_over((node_id, epoch))

    async def _run(self) -> None:
        async for _ in ticks(self._beacon_s):
            try:
                self._publish(leaving=False)
                self.expire()
                self.look()
                self._tell_of_the_clock()
            except Exception:
                log.exception("a beacon failed, going on")

    def _publish(self, *, leaving: bool) -> None:
        if self._own is not None:
            subject = GATEWAY_SUBJECT if tuple(self._own.roles) == ("gateway",) else SUBJECT
            self._bus.publish(subject, _encode(_Beacon(self._own, leaving, self.clocks.now())))

    def _on_beacon(self, payload: bytes) -> None:
        try:
            beacon = self._decode(payload)
        except msgspec.MsgspecError:
            log.warning("beacon not understood", size=len(payload))
            return
        if beacon.leaving:
            self._leave(beacon.info)
            return
        if self._see(beacon.info) and not self._is_own(beacon.info.node_id):
            self.clocks.hear(beacon.info.node_id, beacon.clock)

    def _see(self, info: NodeInfo) -> bool:
        """True when this epoch is the live one."""
        self._latest_login = max(self._latest_login, info.login)
        node_id, epoch = info.node_id, info.epoch
        known = self._nodes.get(node_id)
        if self._own is not None and node_id == self._own.node_id and epoch != self._own.epoch:
            return False  # whoever holds a node id does not give way (coordination/claim.py)
        if epoch in self._left.get(node_id, ()) or self._is_over(node_id, epoch):
            return False
        if info.rests:
            self._resting[node_id] = epoch
            if known is not None and known.epoch == epoch:
                self._forget(node_id, "rests")
            return False
        self._resting.pop(node_id, None)
        if known is not None and known.epoch != epoch:
            if epoch in self._replaced.get(node_id, ()):
                return False
            replaced = self._replaced.get(node_id, deque(maxlen=REMEMBERED))
            replaced.append(known.epoch)
            self._forget(node_id, "restarted")
            self._replaced[node_id] = replaced
            known = None
        self._nodes[node_id] = info
        self._heard[node_id] = self._clock()
        if info.name:
            self._roles[node_id] = info.roles
        if known is None:
            log.info("node is there", peer=info.name, peer_id=node_id, epoch=epoch, roles=info.roles)
        for role, callback in self._callbacks:
            if known is None or (role is not None and role not in known.roles):
                _tell(role, callback, info, True)
        return True

    def _leave(self, info: NodeInfo) -> None:
        self._left.setdefault(info.node_id, deque(maxlen=REMEMBERED)).append(info.epoch)
        known = self._nodes.get(info.node_id)
        if known is not None and known.epoch == info.epoch:
            self._forget(info.node_id, "left")

    def _forget(self, node_id: int, reason: str) -> None:
        node = self._nodes.pop(node_id)
        self._heard.pop(node_id, None)
        self.clocks.forget(node_id)
        self._missed.pop(node_id, None)
        self._replaced.pop(node_id, None)
        log.info("node is gone", peer=node.name, peer_id=node_id, epoch=node.epoch, reason=reason)
        for role, callback in self._callbacks:
            _tell(role, callback, node, False)


def _tell(role: str | None, callback: Callable[[NodeInfo, bool], None], node: NodeInfo, alive: bool) -> None:
    if role is None or role in node.roles:
        try:
            callback(node, alive)
        except Exception:
            log.exception("a change of the cluster could not be taken in", peer_id=node.node_id, alive=alive)

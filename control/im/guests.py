"""Questions of HTTP about a room wait until its im process knows who is inside, as those of clients do at the
gateways (control/gateway/upstream.py): right after the one before has died, it would say that nobody is.

    another im process is gone   -> of the rooms that it served this one waits for the word of each gateway
    the gateways tell who is inside (Inside ...), then that this was all (Moved)
    all have, or are gone        -> the questions are answered; 503 for those that have waited too long
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from control.coordination.base import Coordination, NodeInfo
from control.im.api import ImApi
from control.node_ids import Peer
from control.part import Part
from control.rendezvous import choose
from control.request_keys import server_key
from frame.constants import ROOM_PREFIX
from im_service.calls import Args
from im_service.errors import Code, ImError

WAIT_S = 5.0
"""For a question, as for one of a client."""
LOST_S = 15.0
"""For the words of the gateways: one that was lost is not said again."""
LAG_S = 2.0
"""Whoever asks may know of a death a beacon before this process does."""
POLL_S = 0.05
REMEMBERED = 64
UNKNOWN = "who is in this room is not known yet"


@dataclass
class _Taken:
    """What changed hands because of `cause`: rooms that it served among `ims`; None: all that are served
    here, because it is this process that came."""

    cause: Peer
    gone: bool
    ims: list[str] | None
    until: float
    waiting: set[Peer] = field(default_factory=set)  # gateways that have not said all

    def covers(self, room: str) -> bool:
        return bool(self.waiting) and (self.ims is None or choose(room, self.ims) == str(self.cause[0]))


class Guests(Part):
    """Of rooms that this im process took over. `clock` is one that nobody sets."""

    def __init__(
        self, coordination: Coordination, own: Peer, clock: Callable[[], float], wait_s: float = WAIT_S
    ) -> None:
        self._coordination = coordination
        self._own = own
        self._clock = clock
        self._wait_s = wait_s
        self._ims: dict[int, int] = {}  # the others: node id -> epoch
        self._gateways: set[Peer] = set()
        self._taken: list[_Taken] = []
        self._told: OrderedDict[tuple[Peer, bool], set[Peer]] = OrderedDict()  # cause, gone -> who said all

    async def start(self) -> None:
        self._taken.append(_Taken(self._own, False, None, self._clock() + self._wait_s))
        self._coordination.on("im", self._on_im)
        self._coordination.on("gateway", self._on_gateway)

    def told(self, gateway: Peer, cause: Peer, gone: bool) -> None:
        """This gateway has said who is inside of rooms that changed hands because that im process came, or is
        gone."""
        self._told.setdefault((cause, gone), set()).add(gateway)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        for taken in self._taken:
            if (taken.cause, taken.gone) == (cause, gone):
                taken.waiting.discard(gateway)

    async def known(self, room: str) -> bool:
        """True once it is known who is in this room; False where that took too long."""
        began = self._clock()
        while (passed := self._clock() - began) < self._wait_s:
            if not self._is_coming(room) and (self._serves(room) or passed >= LAG_S):
                return True
            await asyncio.sleep(POLL_S)
        return False

    def _serves(self, room: str) -> bool:
        own = str(self._own[0])
        return choose(room, [own, *map(str, self._ims)]) == own

    def _is_coming(self, room: str) -> bool:
        now = self._clock()
        self._taken = [taken for taken in self._taken if taken.until > now]
        return any(taken.covers(room) for taken in self._taken)

    def _on_im(self, info: NodeInfo, alive: bool) -> None:
        if info.node_id == self._own[0]:
            return
        cause = (info.node_id, info.epoch)
        if alive:
            self._ims[info.node_id] = info.epoch
            self._told.pop((cause, True), None)  # one that was taken for dead may die another time
            return
        among = [str(each) for each in (self._own[0], *self._ims)]
        self._ims.pop(info.node_id, None)
        waiting = self._gateways - self._told.get((cause, True), set())
        self._taken.append(_Taken(cause, True, among, self._clock() + LOST_S, waiting))

    def _on_gateway(self, info: NodeInfo, alive: bool) -> None:
        gateway = (info.node_id, info.epoch)
        if alive:
            self._gateways.add(gateway)
            for taken in self._taken:
                if taken.cause == self._own and gateway not in self._told.get((self._own, False), ()):
                    taken.waiting.add(gateway)
            return
        self._gateways.discard(gateway)
        for taken in self._taken:
            taken.waiting.discard(gateway)


class RoomsApi:
    """ImApi of this process, for questions that came to it because it serves the room."""

    def __init__(self, api: ImApi, guests: Guests) -> None:
        self._api = api
        self._guests = guests

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> object:
        room = server_key(user, method, msgspec.msgpack.encode(arguments))
        if room.startswith(ROOM_PREFIX) and not await self._guests.known(room):
            raise ImError(Code.UNAVAILABLE, UNKNOWN, {"retry_after_ms": 1000})
        return await self._api.call(method, arguments, user)

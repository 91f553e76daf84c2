"""A node id belongs to one process at a time: whoever starts asks for it, whoever holds it answers.

    starting                                    holding
      claim.<id>   (me)      ------------------->  (me, held)      refused
      holder.<id>  request   ------------------->  (me)            refused
                             nobody listens        free
                             no answer             a process that stands still: free after the dead time

A name that was given to a process (server.node_name), by which operators order, is asked for in the same way.
Of two that start together the one with the lower epoch gets it. Whoever holds the id is asked, no more.
With etcd the id is given out there; on the bus it is still asked for, since whoever lost the lease may live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import IntEnum

import msgspec

from control.bus.base import Bus, BusError, NobodyThere
from control.errors import StartError
from control.logs import get_logger
from control.node_ids import Peer
from control.part import Check, Part

log = get_logger("coordination")

ASK_S = 0.3
"""How long a holder may take to be back on the bus, or to answer before it is asked again."""


class _Word(IntEnum):
    WANTED = 1
    BEFORE = 2
    """Whoever says this wants it too, and gets it."""
    HELD = 3


class _Claim(msgspec.Struct, array_like=True):
    epoch: int
    name: str
    word: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Claim).decode


class NodeIdClaim(Part):
    """Started before this process says anything to others. Raises StartError when the node id is taken.
    `name` is what others are told of the holder.
    """

    def __init__(self, bus: Bus, own: Peer, name: str, dead_after_s: float) -> None:
        self._bus = bus
        self._own = own
        self._name = name
        self._subject, self._what, self._setting = f"{own[0]}", f"node id {own[0]}", "node_id"
        self._dead_after_s = dead_after_s
        self._held = False
        self._holder: str | None = None  # another one
        self._heard_lately = False

    async def start(self) -> None:
        await self._bus.subscribe(f"claim.{self._subject}", self._heard)
        self._say(_Word.WANTED)
        await self._ask()
        if self._holder is not None:
            raise StartError(
                f"{self._what} is taken by {self._holder}: give every process of a cluster its own"
                f" [server] {self._setting}"
            )
        self._held = True
        await self._bus.respond(f"holder.{self._subject}", self._answer)

    def again(self) -> None:
        """The bus was away: whoever took the id meanwhile shall be known."""
        if self._held:
            self._say(_Word.HELD)

    async def tick(self) -> None:
        """Two hold the id after the bus was in two parts: until one of them ends, neither is ready."""
        if self._holder is not None:
            if not self._heard_lately:
                self._holder = None
                return
            self._heard_lately = False
            self._say(_Word.HELD)

    def checks(self) -> Mapping[str, Check]:
        return {"node_id": self._problem}

    def _problem(self) -> str | None:
        return f"also held by {self._holder}" if self._holder else None

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._dead_after_s
        while self._holder is None and loop.time() < until:
            try:
                answer = await self._bus.request(f"holder.{self._subject}", b"", ASK_S)
            except NobodyThere:
                return
            except BusError:
                continue  # it stands still, or is gone and NATS does not know yet
            self._holder = _decode(answer).name
        if self._holder is None:
            log.warning("a holder does not answer: taken for dead", of=self._what)

    def _say(self, word: _Word) -> None:
        self._bus.publish(f"claim.{self._subject}", self._claim(word))

    def _claim(self, word: _Word) -> bytes:
        return _encode(_Claim(self._own[1], self._name, word))

    def _answer(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        answer(self._claim(_Word.HELD))

    def _heard(self, payload: bytes) -> None:
        other = _decode(payload)
        if other.epoch == self._own[1]:
            return
        if self._held:
            self._heard_as_holder(other)
        elif other.word != _Word.WANTED or other.epoch < self._own[1]:
            self._holder = other.name
        else:
            self._say(_Word.BEFORE)

    def _heard_as_holder(self, other: _Claim) -> None:
        if other.word == _Word.WANTED:
            self._say(_Word.HELD)
        elif other.word == _Word.HELD:
            if self._holder is None:
                log.error("held by another process too", of=self._what, by=other.name)
                self._say(_Word.HELD)
            self._holder, self._heard_lately = other.name, True


class NodeNameClaim(NodeIdClaim):
    """The same for a name. Two that have it are told, and serve on: orders for it are then for both."""

    def __init__(self, bus: Bus, own: Peer, name: str, dead_after_s: float) -> None:
        super().__init__(bus, own, f"node id {own[0]}", dead_after_s)
        self._subject, self._what, self._setting = (
            f"name-{name.encode().hex()}",
            f"the name {name}",
            "node_name",
        )

    def checks(self) -> Mapping[str, Check]:
        return {}

    def remarks(self) -> Mapping[str, Check]:
        return {"node_name": self._problem}


async def holder_of(bus: Bus, node_id: int) -> int | None:
    """The epoch that holds this node id on the bus; 0: nobody does, None: somebody who is silent now."""
    try:
        return _decode(await bus.request(f"holder.{node_id}", b"", ASK_S)).epoch
    except NobodyThere:
        return 0
    except BusError:
        return None

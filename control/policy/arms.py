"""What is counted of those who go by one version of a policy, at one gateway and at all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from control.bus.base import Bus, BusError
from control.coordination.base import Coordination
from control.policy.survival import Cell, merged

ANSWER_S = 2.0
Arm = str
"""`name/number` of a version."""


class Counts(Struct, kw_only=True):
    """Since the process began. `told`: sessions that heard of it. `parked`: of `sessions`, those without a
    connection. `connected_s`: of connections, together; `metered_s`: of them, while `bytes` were counted,
    which is where a policy has a canary. `ends`: connections whose end a client told at its next login; of
    them `deaths`: no answer, or a reset. `silent`: closed by the gateway, which had read nothing for too
    long.
    """

    rev: int = 0
    sessions: int = 0
    parked: int = 0
    told: int = 0
    connected_s: float = 0.0
    metered_s: float = 0.0
    bytes: int = 0
    pings: int = 0
    silent: int = 0
    resets: int = 0
    vanished: int = 0
    rtt_us: int = 0
    rtt_count: int = 0
    ends: int = 0
    deaths: int = 0

    @property
    def rtt_ms(self) -> float:
        return self.rtt_us / self.rtt_count / 1000 if self.rtt_count else 0.0

    @property
    def kib_an_hour(self) -> float:
        """Of one connection, both ways, as the gateways read and wrote them: all that came after its login,
        the catching up behind a reconnect among it, without the headers of TCP and IP."""
        return self.bytes / 1024 / (self.metered_s / 3600) if self.metered_s else 0.0

    def plus(self, other: Counts) -> Counts:
        both = {name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        return Counts(**{**both, "rev": self.rev or other.rev})

    def minus(self, other: Counts) -> Counts:
        """Never below nothing: a gateway counts an entry anew when it is used again."""
        less = {name: max(getattr(self, name) - getattr(other, name), 0) for name in self.__struct_fields__}
        return Counts(**{**less, "rev": self.rev, "sessions": self.sessions, "parked": self.parked})


class Numbers(Struct, kw_only=True):
    """Of one gateway. `cells`: by `net carrier`."""

    node: str
    epoch: int
    arms: dict[Arm, Counts]
    cells: dict[str, Cell]
    versions: dict[str, int] = {}


class Fleet(Struct, kw_only=True):
    """Of all gateways that answered; `silent` are the others. `versions`: sessions by the client's
    version."""

    gateways: list[Numbers]
    silent: list[str]

    def arms(self) -> dict[Arm, Counts]:
        found: dict[Arm, Counts] = {}
        for numbers in self.gateways:
            for arm, counts in numbers.arms.items():
                found[arm] = found[arm].plus(counts) if arm in found else counts
        return found

    def cells(self) -> dict[str, Cell]:
        return merged([numbers.cells for numbers in self.gateways])

    def versions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for numbers in self.gateways:
            for version, sessions in numbers.versions.items():
                found[version] = found.get(version, 0) + sessions
        return found


class NumbersResponder:
    """The gateway's side."""

    def __init__(self, bus: Bus, node_id: int, numbers: Callable[[], Numbers]) -> None:
        self._bus = bus
        self._node_id = node_id
        self._numbers = numbers

    async def start(self) -> None:
        await self._bus.respond(_subject(self._node_id), self._answer)

    def _answer(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        answer(msgspec.msgpack.encode(self._numbers()))


class FleetNumbers:
    """The asking side, in any process."""

    def __init__(self, bus: Bus, coordination: Coordination) -> None:
        self._bus = bus
        self._coordination = coordination

    async def gather(self) -> Fleet:
        """All gateways at once."""
        nodes = [info for info in self._coordination.nodes("gateway") if info.epoch]
        asked = (self._bus.request(_subject(info.node_id), b"", ANSWER_S) for info in nodes)
        fleet = Fleet(gateways=[], silent=[])
        for info, answer in zip(nodes, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(answer, bytes):
                try:
                    fleet.gateways.append(msgspec.msgpack.decode(answer, type=Numbers))
                    continue
                except msgspec.MsgspecError:
                    pass  # another version of the program
            elif not isinstance(answer, BusError):
                raise answer
            fleet.silent.append(info.name)
        return fleet

    @property
    def connections(self) -> int:
        """Of the whole cluster, as gateways tell it."""
        return sum(info.connections for info in self._coordination.nodes("gateway"))


def since(now: Fleet, before: Mapping[tuple[str, int], Mapping[Arm, Counts]], arm: Arm) -> Counts:
    """What came in this arm since an earlier look; a gateway that was not there then, or in another life,
    counts from now on."""
    total = Counts()
    for numbers in now.gateways:
        counts = numbers.arms.get(arm)
        if counts is None:
            continue
        old = before.get((numbers.node, numbers.epoch))
        if old is None:
            continue
        total = total.plus(counts.minus(old.get(arm, Counts())))
    return total


def _subject(node_id: int) -> str:
    return f"policy.{node_id}"

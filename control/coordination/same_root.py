"""The processes that clients meet have one root key: who starts asks whether it is that of the cluster.

A gateway with another root shakes hands with nobody who pins that of the cluster; a control process with
another one tells clients to pin it. Processes that started together, or on two halves of a bus, were not
refused: LBS leaves such gateways out, and such a gateway is not ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from control.bus.base import Bus, BusError, NobodyThere
from control.coordination.base import Coordination, NodeInfo
from control.errors import StartError
from control.logs import get_logger
from control.part import Check, Part

log = get_logger("coordination")

ASK_S = 0.3
SUBJECT = "root"


class Told(msgspec.Struct, array_like=True):
    """Who answered, and the root key it has."""

    name: str
    root: str


class SameRoot(Part):
    """Started before this process says anything to others. Raises StartError when the root is another."""

    def __init__(self, bus: Bus, coordination: Coordination, name: str, root: Callable[[], str]) -> None:
        self._bus = bus
        self._coordination = coordination
        self._name = name
        self._root = root
        self._told: set[str] = set()

    async def start(self) -> None:
        refuse_other_root(await root_of_cluster(self._bus), self._root())
        await self._bus.respond(SUBJECT, self._answer)

    async def tick(self) -> None:
        """Each gateway that is left out is named once."""
        gateways = self._coordination.nodes("gateway")
        others = {node.name for node in gateways if node not in of_root(gateways, self._root())}
        for name in sorted(others - self._told):
            log.error("a gateway has another root key: LBS hands it out to nobody", peer=name)
        self._told = others

    def checks(self) -> Mapping[str, Check]:
        return {"root": self._problem}

    def _problem(self) -> str | None:
        controls = self._coordination.nodes("control")
        if not controls or of_root(controls, self._root()):
            return None
        return f"{controls[0].name} hands out another root key: no client comes here"

    def _answer(self, payload: bytes, answer: Callable[[bytes], None]) -> None:
        answer(msgspec.msgpack.encode(Told(self._name, self._root())))


def of_root(nodes: Iterable[NodeInfo], root: str) -> list[NodeInfo]:
    """Those that have this root, or tell of none."""
    return [node for node in nodes if node.root in ("", root)]


async def ask_root(bus: Bus) -> Told | None:
    """What some process of the cluster tells; None where nobody is there. Raises BusError."""
    try:
        return msgspec.msgpack.decode(await bus.request(SUBJECT, b"", ASK_S), type=Told)
    except NobodyThere:
        return None


async def root_of_cluster(bus: Bus) -> Told | None:
    """What some process of the cluster tells; None where nobody is there, or nobody answers now."""
    try:
        return await ask_root(bus)
    except BusError:
        log.warning("nobody tells the root key of the cluster: not compared")
        return None


def refuse_other_root(told: Told | None, own: str) -> None:
    """StartError when `own`, the root key here, is not the one that was told; "" is none."""
    if told is not None and told.root and told.root != own:
        here = f"{own[:16]}… here" if own else "none here"
        raise StartError(
            f"the root key is not that of this cluster ({told.root[:16]}… at {told.name}, {here}):"
            " gateways and control processes share one `keys` folder, or have a copy: put the cluster's here"
        )

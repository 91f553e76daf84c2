"""Connections of all gateways for an operator: one request a gateway, in the order of their node ids."""

from __future__ import annotations

import asyncio
import re

import msgspec

from control.bus.base import Bus, BusError
from control.coordination.base import Coordination, NodeInfo
from control.gateway.looks import Count, Found, Kick, LookResponder, Looks, Page, Question, parse_network
from control.part import Part

CONN = r"[0-9]{1,5}-[0-9a-f]{16}"
CURSOR = re.compile(r"([0-9]{1,5})\.([0-9]{1,16})")
ANSWER_S = 6.0
PAGE_S = 6.0
"""No gateway is asked later than this: several that are silent cost a page each, not one page all of them."""


class ConnService(Part):
    """The gateway's side. Started after the bus."""

    def __init__(self, bus: Bus, node_id: int, looks: Looks) -> None:
        self._bus = bus
        self._node_id = node_id
        self._looks = looks

    async def start(self) -> None:
        await self._bus.respond(_subject(self._node_id), LookResponder(self._looks))


class Pages(msgspec.Struct):
    """`after`: give it for the next page, "": there is none. `silent`: gateways that did not answer."""

    found: list[tuple[NodeInfo, Found]]
    after: str
    silent: list[str]


class TopicNode(msgspec.Struct, kw_only=True):
    """Connections of a topic at one gateway."""

    node: str
    members: int


class TopicCount(msgspec.Struct, kw_only=True):
    """`nodes`: gateways with members. `silent`: those that did not answer, whose members are not counted."""

    topic: str
    members: int
    nodes: list[TopicNode]
    silent: list[str]


class ConnSearch:
    """The asking side, in any process of the cluster."""

    def __init__(self, bus: Bus, coordination: Coordination) -> None:
        self._bus = bus
        self._coordination = coordination

    async def search(self, asked: Question, node: str, after: str) -> Pages:
        """At most `asked.most` of them, of as many gateways as answer within PAGE_S; the page says where to
        go on. Raises ValueError for a network or a cursor that is none, and for a node that is no gateway.
        """
        parse_network(asked.network)
        mute = [info.name for info in self._mute() if node in ("", info.name)]
        if node and node not in mute and all(info.name != node for info in self._gateways()):
            raise ValueError(f"no gateway {node} is there")
        first, at = _cursor(after)
        pages = Pages([], "", mute)
        clock = asyncio.get_running_loop().time
        until = clock() + PAGE_S
        for info in self._gateways():
            if info.node_id < first or (node and info.name != node):
                continue
            left = asked.most - len(pages.found)
            if not left or clock() >= until:
                pages.after = f"{info.node_id}.0"
                break
            wanted = msgspec.structs.replace(asked, most=left, at=at if info.node_id == first else 0)
            try:
                page = await self._ask(info.node_id, wanted)
            except BusError:
                pages.silent.append(info.name)
                continue
            pages.found += [(info, each) for each in page.found]
            if page.at:
                pages.after = f"{info.node_id}.{page.at}"
                break
        return pages

    async def one(self, name: str) -> tuple[NodeInfo, Found] | None:
        """Raises BusError where its gateway does not answer."""
        return await self._this(name, Question(conn=_conn(name)))

    async def kick(self, name: str, code: int, text: str) -> tuple[NodeInfo, Found] | None:
        """What it was; None: it is not there. Raises BusError where nobody knows."""
        return await self._this(name, Kick(_conn(name), code, text))

    async def count(self, topic: str) -> TopicCount:
        """All gateways are asked at once."""
        gateways = self._gateways()
        asked = (self._ask(info.node_id, Count(topic)) for info in gateways)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        mute = [info.name for info in self._mute()]
        told = TopicCount(topic=topic, members=0, nodes=[], silent=mute)
        for info, answer in zip(gateways, answers, strict=True):
            if isinstance(answer, Page):
                told.members += answer.members
                told.nodes += [TopicNode(node=info.name, members=answer.members)] if answer.members else []
            elif isinstance(answer, BusError):
                told.silent.append(info.name)
            else:
                raise answer
        return told

    async def _this(self, name: str, asked: Question | Kick) -> tuple[NodeInfo, Found] | None:
        node_id = int(name.partition("-")[0])
        for info in self._gateways():
            if info.node_id == node_id:
                page = await self._ask(node_id, asked)
                return (info, page.found[0]) if page.found else None
        if any(info.node_id == node_id for info in self._mute()):
            raise BusError("it is not heard")
        return None

    async def _ask(self, node_id: int, asked: Question | Kick | Count) -> Page:
        """Raises BusError, also for what another version answers."""
        answer = await self._bus.request(_subject(node_id), msgspec.msgpack.encode(asked), ANSWER_S)
        try:
            return msgspec.msgpack.decode(answer, type=Page)
        except msgspec.MsgspecError as error:
            raise BusError(f"no answer of this version: {error}") from None

    def _mute(self) -> list[NodeInfo]:
        return [info for info in self._coordination.mute() if "gateway" in info.roles]

    def _gateways(self) -> list[NodeInfo]:
        return [info for info in self._coordination.nodes("gateway") if info.epoch]


def name_of(info: NodeInfo, found: Found) -> str:
    return f"{info.node_id}-{found.conn:016x}"


def _conn(name: str) -> int:
    return int(name.partition("-")[2], 16)


def _cursor(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    match = CURSOR.fullmatch(text)
    if match is None:
        raise ValueError("no cursor of this search")
    return int(match[1]), int(match[2])


def _subject(node_id: int) -> str:
    return f"conns.{node_id}"

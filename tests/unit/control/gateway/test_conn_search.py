"""A search over two gateways: pages with a cursor, each connection once; who does not answer is named."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence

import msgspec
import pytest

from control.bus.base import BusError
from control.bus.memory import MemoryBus
from control.coordination.base import NodeInfo
from control.gateway import conn_search
from control.gateway.conn_search import ConnSearch, ConnService
from control.gateway.looks import DETAILS, Looks, Question

ROOM = b"r/x"


class SlabCore:
    """Answers as the core does: connections by slot; those of `inside` are in the room."""

    def __init__(self, users: Sequence[str], inside: Sequence[str]) -> None:
        self.users = users
        self.inside = inside
        self.looks: Looks | None = None
        self.deaf = False

    def look(
        self,
        loop: int,
        token: int,
        at: int,
        slots: int,
        most: int,
        user: bytes = b"",
        device: bytes = b"",
        network: bytes = b"",
        bits: int = 0,
        topic: bytes = b"",
    ) -> None:
        assert self.looks is not None
        if self.deaf:
            return
        call = asyncio.get_running_loop().call_soon
        while most and at < len(self.users):
            name = self.users[at]
            at += 1
            if (user and user.decode() != name) or (topic and name not in self.inside):
                continue
            most -= 1
            details = DETAILS.pack(at, *[0] * 9, bytes(16), *[0] * 4)
            call(self.looks.on_looked, at, token, name, "phone", details, 0)
        members = struct.pack("<I", len(self.inside) if topic == ROOM else 0)
        call(self.looks.on_looked, 0, token, "", "", members, at if at < len(self.users) else 0)

    def refuse(self, conn: int, code: int, text: str) -> None:
        raise AssertionError("nobody is kicked here")


class Nodes:
    """As much of Coordination as a search asks."""

    def __init__(self, names: Sequence[str]) -> None:
        self.known = [
            NodeInfo(node_id=number, epoch=1, name=name, roles=("gateway",))
            for number, name in enumerate(names, 1)
        ]
        self.unheard: list[NodeInfo] = []

    def nodes(self, role: str | None = None) -> list[NodeInfo]:
        return self.known

    def mute(self) -> list[NodeInfo]:
        return self.unheard


class World:
    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.cores = [
            SlabCore([f"a{number}" for number in range(5)], ["a1", "a4"]),
            SlabCore([f"b{number}" for number in range(4)], ["b0"]),
        ]
        self.nodes = Nodes(["east", "west"])
        self.search = ConnSearch(self.bus, self.nodes)

    async def start(self) -> None:
        await self.bus.start()
        for number, core in enumerate(self.cores, 1):
            core.looks = Looks(core, 1)
            await ConnService(self.bus, number, core.looks).start()

    async def pages(self, asked: Question, node: str = "") -> tuple[list[list[str]], set[str]]:
        found, silent, after = [], set[str](), ""
        while True:
            page = await self.search.search(asked, node, after)
            found.append([each.user for _, each in page.found])
            silent |= set(page.silent)
            if not (after := page.after):
                return found, silent


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(conn_search, "ANSWER_S", 0.2)
    made = World()
    await made.start()
    return made


EVERYBODY = ["a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2", "b3"]


@pytest.mark.parametrize("most", [1, 2, 5, 9, 100])
async def test_pages_go_over_both_gateways_and_name_each_connection_once(world: World, most: int) -> None:
    found, silent = await world.pages(Question(most=most))
    assert [user for page in found for user in page] == EVERYBODY
    assert (max(map(len, found)) <= most, silent) == (True, set())
    assert (await world.pages(Question(most=most), "west"))[0][-1][-1] == "b3"


async def test_a_gateway_that_is_not_there_is_no_empty_page(world: World) -> None:
    with pytest.raises(ValueError, match="no gateway wst is there"):
        await world.pages(Question(most=1), "wst")


async def test_one_that_is_silent_is_named_and_the_other_still_answers(world: World) -> None:
    world.cores[0].deaf = True
    found, silent = await world.pages(Question(most=3))
    assert ([user for page in found for user in page], silent) == (EVERYBODY[5:], {"east"})


async def test_gateways_that_are_silent_cost_a_page_each_and_not_one_page_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conn_search, "PAGE_S", 0.1)
    world.cores[0].deaf = world.cores[1].deaf = True
    page = await world.search.search(Question(), "", "")
    assert (page.silent, page.after) == (["east"], "2.0")
    rest = await world.search.search(Question(), "", page.after)
    assert (rest.silent, rest.after) == (["west"], "")


async def test_members_of_a_topic_are_counted_by_gateway_and_found(world: World) -> None:
    told = msgspec.to_builtins(await world.search.count(ROOM.decode()))
    east, west = {"node": "east", "members": 2}, {"node": "west", "members": 1}
    assert told == {"topic": "r/x", "members": 3, "nodes": [east, west], "silent": []}
    found, _ = await world.pages(Question(topic="r/x", most=1))
    assert [user for page in found for user in page] == ["a1", "a4", "b0"]
    world.cores[1].deaf = True
    told = msgspec.to_builtins(await world.search.count(ROOM.decode()))
    assert (told["members"], told["nodes"], told["silent"]) == (2, [east], ["west"])


async def test_an_answer_of_another_version_is_as_none(world: World) -> None:
    await world.bus.respond("conns.3", lambda payload, answer: answer(b"\xc3"))
    world.search = ConnSearch(world.bus, Nodes(["east", "west", "next"]))
    found, silent = await world.pages(Question())
    assert (len(found[0]), silent) == (9, {"next"})


async def test_one_that_is_there_and_not_heard_is_silent_and_not_gone(world: World) -> None:
    """The bus is cut: etcd lists it, and nobody knows of its connections."""
    world.nodes.unheard = [NodeInfo(7, 1, "far", ("gateway",)), NodeInfo(8, 1, "far-im", ("im",))]
    found, silent = await world.pages(Question(most=3))
    assert ([user for page in found for user in page], silent) == (EVERYBODY, {"far"})
    assert await world.pages(Question(most=3), "far") == ([[]], {"far"})
    assert (await world.search.count(ROOM.decode())).silent == ["far"]
    for asked in (world.search.one("7-0000000000000001"), world.search.kick("7-0000000000000001", 1, "")):
        with pytest.raises(BusError):
            await asked
    assert await world.search.one("9-0000000000000001") is None, "nobody has that number"

"""The app's server asks the im process where what it asks about lives: the one the gateways ask."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from control.bus.memory import MemoryBus, MemoryHub
from control.coordination.base import NodeInfo
from control.im.api import ApiResponder
from control.im.placed import PlacedImApi
from control.rendezvous import choose
from control.request_keys import call_key, conversation_key, server_key
from im_service.calls import Args
from im_service.errors import Code, ImError
from im_service.methods import METHODS

IMS = [1, 5, 9]
raw = msgspec.msgpack.encode


class Api:
    """One im process: what it was asked, and what it answers."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked: list[tuple[str, Any, str]] = []
        self.refusal: ImError | None = None

    async def call(self, method: str, arguments: Args | msgspec.Raw, user: str = "") -> Any:
        given = msgspec.msgpack.decode(raw(arguments))
        self.asked.append((method, given, user))
        if self.refusal is not None:
            raise self.refusal
        if method != "message.batch":
            return self.number
        return {"results": [{"target": t, "code": 0, "server_id": self.number} for t in given["targets"]]}


class Processes:
    """im processes on one bus, and a control process that asks them."""

    def __init__(self, own: int = 0) -> None:
        self.hub = MemoryHub()
        self.apis = {number: Api(number) for number in IMS}
        self.ims = list(IMS)
        self.own = own
        self.mute: list[NodeInfo] = []

    async def start(self, *silent: int) -> PlacedImApi:
        for number in IMS:
            bus = MemoryBus(self.hub)
            await bus.start()
            if number not in (self.own, *silent):
                await ApiResponder(bus, number, self.apis[number]).start()
        bus = MemoryBus(self.hub)
        await bus.start()
        place = (self.own, self.apis[self.own]) if self.own else None
        return PlacedImApi(bus, lambda: self.ims, place, 0.3, lambda: self.mute)


def home(key: str) -> int:
    return int(choose(key, [str(number) for number in IMS]) or 0)


def ask(method: str, **arguments: object) -> tuple[str, msgspec.Raw]:
    return method, msgspec.Raw(raw(arguments))


@pytest.mark.parametrize("own", [0, 5])
async def test_calls_about_a_room_go_to_the_process_that_serves_it(own: int) -> None:
    api = await Processes(own).start()
    for name in (f"hall{number}" for number in range(20)):
        where = home(f"r/{name}")
        assert await api.call(*ask("room.online", room=name)) == where
        assert await api.call(*ask("room.kick", room=name, user="bob")) == where
        assert await api.call(*ask("history", conversation=f"r/{name}")) == where
        assert await api.call(*ask("message.send", sender="app", target=f"r/{name}", body={})) == where


def test_the_server_and_the_gateways_choose_the_same_process() -> None:
    """Whoever adds a method that names a room gets it right: the key is read from the arguments' names."""
    rooms = [name for name in METHODS if name.startswith("room.")]
    assert len(rooms) > 15
    for method in rooms:
        payload = raw({"room": "hall", "user": "bob"})
        assert server_key("", method, payload) == call_key("ann", method, payload) == "r/hall"
    reads = [name for name, method in METHODS.items() if "conversation" in method.args.__struct_fields__]
    for method in reads:
        assert call_key("ann", method, raw({"conversation": "r/hall"})) == "r/hall"
        assert call_key("ann", method, raw({"conversation": "g/team"})) == "u/ann"
    payload = raw({"sender": "ann", "target": "u/bob"})
    assert server_key("", "message.send", payload) == conversation_key("bob", "u/ann")


async def test_calls_about_a_user_go_to_the_process_of_their_sessions() -> None:
    api = await Processes().start()
    for name in (f"user{number}" for number in range(20)):
        assert await api.call(*ask("devices", user=name)) == home(f"u/{name}")
        assert await api.call(*ask("conversations"), name) == home(f"u/{name}")


async def test_what_belongs_nowhere_is_answered_in_turn_or_by_this_process() -> None:
    api = await Processes().start()
    assert {await api.call(*ask("time")) for _ in range(6)} == set(IMS)
    api = await Processes(own=5).start()
    assert {await api.call(*ask("time")) for _ in range(6)} == {5}


async def test_a_process_that_nobody_hears_is_passed_over_and_nobody_at_all_is_503() -> None:
    processes = Processes()
    api = await processes.start(1)
    users = [f"user{number}" for number in range(20)]
    assert any(home(f"u/{user}") == 1 for user in users)
    assert {await api.call(*ask("devices", user=user)) for user in users} == {5, 9}
    for ims in ([1], []):
        processes.ims = ims
        with pytest.raises(ImError) as refused:
            await api.call(*ask("room.info", room="hall"))
        assert refused.value.code == Code.UNAVAILABLE


async def test_a_room_is_asked_about_where_the_gateways_will_say_who_is_inside_and_nowhere_before() -> None:
    """Its process is dead, and listed still: the next one knows nothing of the room."""
    processes = Processes()
    api = await processes.start(1)
    room = next(f"hall{number}" for number in range(99) if home(f"r/hall{number}") == 1)
    with pytest.raises(ImError) as refused:
        await api.call(*ask("room.online", room=room))
    assert (refused.value.code, refused.value.detail) == (Code.UNAVAILABLE, {"retry_after_ms": 1000})
    waiting = asyncio.create_task(api.call(*ask("room.online", room=room)))
    await asyncio.sleep(0)
    processes.ims = [5, 9]
    assert await waiting == int(choose(f"r/{room}", ["5", "9"]) or 0)


@pytest.mark.parametrize("own", [0, 5])
async def test_a_batch_is_divided_among_the_processes_and_answered_in_order(own: int) -> None:
    processes = Processes(own)
    api = await processes.start()
    targets = [f"r/hall{number}" for number in range(20)] + ["u/bob", "g/team", "nothing"]
    given = {"sender": "app", "targets": targets, "body": {"text": "hi"}, "client_id": "c"}
    answer = await api.call(*ask("message.batch", **given))
    lines = [(line["target"], line["server_id"]) for line in answer["results"]]
    assert lines == [(target, home(conversation_key("app", target))) for target in targets]
    for each in processes.apis.values():
        ((_, asked, _),) = each.asked
        assert (asked["sender"], asked["body"], asked["client_id"]) == ("app", {"text": "hi"}, "c")


async def test_a_batch_that_one_process_refuses_says_so_for_its_targets_alone() -> None:
    processes = Processes()
    api = await processes.start()
    targets = [f"r/hall{number}" for number in range(20)]
    processes.apis[5].refusal = ImError(Code.TIMEOUT)
    results = (await api.call(*ask("message.batch", sender="app", targets=targets)))["results"]
    assert [line["target"] for line in results] == targets
    assert [line["code"] for line in results] == [
        int(Code.TIMEOUT) if home(target) == 5 else 0 for target in targets
    ]
    for each in processes.apis.values():
        each.refusal = ImError(Code.INVALID, "sender")
    with pytest.raises(ImError) as refused:
        await api.call(*ask("message.batch", sender="app", targets=targets))
    assert refused.value.code == Code.INVALID


async def test_a_kick_says_whose_sessions_it_did_not_reach() -> None:
    processes = Processes()
    api = await processes.start()
    processes.mute = [NodeInfo(7, 1, "far", ("gateway",)), NodeInfo(8, 1, "far-im", ("im",))]
    with pytest.raises(ImError, match="connected at far: not heard") as raised:
        await api.call(*ask("kick", user="bob"))
    assert raised.value.code == Code.TIMEOUT
    assert processes.apis[home("u/bob")].asked, "the others are reached"
    assert await api.call(*ask("devices", user="bob")) == home("u/bob")
    processes.mute = processes.mute[1:]
    assert await api.call(*ask("kick", user="bob")) == home("u/bob")


async def test_whoever_is_put_out_of_a_room_may_be_where_nobody_is_heard() -> None:
    processes = Processes()
    api = await processes.start()
    processes.mute = [NodeInfo(7, 1, "far", ("gateway",))]
    at_home = processes.apis[home("r/lobby")]
    at_home.refusal = ImError(Code.NOT_IN_ROOM, "not in the room")
    with pytest.raises(ImError, match="not done: whether they are in is known at far") as raised:
        await api.call(*ask("room.kick", room="lobby", user="bob"))
    assert raised.value.code == Code.TIMEOUT
    at_home.refusal = ImError(Code.FORBIDDEN, "no")
    with pytest.raises(ImError, match="no"):
        await api.call(*ask("room.kick", room="lobby", user="bob"))

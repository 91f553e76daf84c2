"""What callers name and does not exist: it is refused or not found, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

from msgspec import inspect

from im_service.calls import Method
from im_service.grammar import IDS
from im_service.live.room import RoomState
from im_service.methods import METHODS
from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_world import World, open_world

NEEDED: dict[type[inspect.Type], object] = {
    inspect.StrType: "x", inspect.IntType: 1, inspect.BoolType: True, inspect.FloatType: 1.0,
    inspect.ListType: ["x"], inspect.DictType: {}, inspect.LiteralType: "member", inspect.RawType: {},
}  # fmt: skip


def fields(entry: Method) -> tuple[inspect.Field, ...]:
    struct = inspect.type_info(entry.args)
    assert isinstance(struct, inspect.StructType)
    return struct.fields


METHODS_WITH_IDS = [
    (entry, field.encode_name)
    for entry in METHODS.values()
    for field in fields(entry)
    if field.encode_name in IDS
]
BOUNDED_BY_THEIR_USE = {
    "after",  # a cursor: the store compares with it
    "key",  # of an element to take
    "put",  # attributes have bytes in all
    "sender",
    "target",
}


async def remembered(world: World) -> list[RoomState]:
    await asyncio.sleep(0)  # tasks that are done let go of what they read
    gc.collect()
    return [*world.im.room_table._kept.values(), *world.im.room_table._cache._live.values()]


def arguments(entry: Method, name: str, value: str) -> dict[str, Any]:
    """Of a call whose member `name` is `value`, and nothing else is wrong."""
    given: dict[str, Any] = {}
    for field in fields(entry):
        kind = field.type.type if isinstance(field.type, inspect.Metadata) else field.type
        if field.encode_name == name:
            given[name] = [value] if isinstance(kind, inspect.ListType) else value
        elif field.required:
            given[field.encode_name] = NEEDED[type(kind)]
    return given


async def test_no_call_takes_an_id_that_none_can_be(tmp_path: Path) -> None:
    settings = ImSettings(call_rate=Rate(0, 0))
    async with open_world(tmp_path, settings) as world:
        alice = await world.login("alice")
        for entry, name in METHODS_WITH_IDS:
            for value in ("x" * 60_000, "x" * 65, "ü", "a b", "a\n", "a\x00"):
                given = arguments(entry, name, value)
                if not entry.server_only:
                    assert (await alice.call(entry.name, **given))[0] == 414, (entry.name, name, value[:9])
                assert await world.attempt(entry.name, given, "bob") == 414, (entry.name, name, value[:9])
        assert await remembered(world) == []


def test_every_text_of_a_call_has_a_bound() -> None:
    def unbounded(kind: inspect.Type) -> bool:
        match kind:
            case inspect.StrType():
                return kind.max_length is None and kind.pattern is None
            case inspect.Metadata():
                return unbounded(kind.type)
            case inspect.ListType():
                return unbounded(kind.item_type)
            case inspect.DictType():
                return unbounded(kind.key_type) or unbounded(kind.value_type)
            case inspect.UnionType():
                return any(map(unbounded, kind.types))
        return False

    found = {
        field.encode_name for entry in METHODS.values() for field in fields(entry) if unbounded(field.type)
    }
    assert found <= IDS | BOUNDED_BY_THEIR_USE


async def test_a_room_that_nobody_made_is_not_remembered_whoever_asks_for_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        for number in range(20):
            room = f"nowhere{number}"
            assert (await alice.call("room.info", room=room))[0] == 13002
            assert (await alice.call("room.join", room=room))[0] == 13002
            assert (await alice.call("room.online", room=room))[0] == 13002
            assert (await alice.call("room.recall", room=room, server_id=1))[0] == 13002
            assert (await alice.call("room.queue.put", room=room, key="k"))[0] == 13002
            assert (await alice.call("room.update", room=room, name="n"))[0] == 13002
            assert (await alice.send(f"r/{room}"))[0] == 13002
            assert await world.attempt("room.info", {"room": room}) == 13002
            code = await world.attempt("message.send", {"sender": "app", "target": f"r/{room}", "body": {}})
            assert code == 13002
        assert await remembered(world) == []
        state = world.im.sessions.get(alice.session)
        assert state is not None
        assert not state.routes


async def test_a_room_that_was_asked_for_too_early_is_there_once_it_is_made(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        assert (await alice.send("r/hall"))[0] == 13002
        await world.invoke("room.create", {"room": "hall"})
        for person in (alice, bob):
            await person.ok("room.join", room="hall")
        await alice.said("r/hall", "hello")
        assert len(bob.connection.room_messages()) == 1

"""Odd values for every argument of every method: an answer, never 500, and nothing stored by a refusal."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random, randrange
from typing import Any

import msgspec

from im_service.calls import encode_answer
from im_service.errors import Code, ImError
from im_service.methods import METHODS
from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_world import World, open_world
from tests.support.store_kit import count

ENGINES = ("sqlite",)
ROUNDS = 30
GOOD: dict[str, Any] = {
    "conversation": "s/ann:bob", "user": "bob", "users": ["bob"], "group": "team", "room": "hall", "seq": 1,
    "seqs": [1], "sender": "ann", "target": "u/bob", "targets": ["u/bob"], "body": {"text": "x"},
    "acks": {"s/ann:bob": 1}, "conversations": ["s/ann:bob"], "id": 1, "accept": True, "cursor": 0,
    "up_to_seq": 0, "kind": "ok", "role": "member", "nick": "n", "on": False, "key": "k", "tag": "t",
}  # fmt: skip
DEEP: Any = 1
for _ in range(40):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    math.nan, math.inf, -math.inf, -1, 0, 1 << 63, (1 << 64) - 1, -(1 << 63), 1.5, True, None, "", "\x00",
    "a\x00b", "\U0001d54f" * 64, "x" * 5000, "x" * 70_000, b"\xff", [], {}, [None], {"": None}, {1: 2},
    {None: 1}, DEEP, {"text": DEEP}, msgspec.msgpack.Ext(7, b"x"), {"text": msgspec.msgpack.Ext(7, b"")},
    {"text": "x", "more": math.nan}, "s/a", "s/:", "g/", "r/hall", "g/team", ["x" * 70_000], ["\x00"],
    {"a": "\x00"}, "1:2:x", "::", ":::", "@system", list(range(1000)),
)  # fmt: skip


async def prepared(world: World) -> None:
    ann = await world.login("ann")
    await world.login("bob")
    await ann.said("u/bob")
    await world.invoke("group.create", {"group": "team", "owner": "ann", "members": ["bob"]})
    await world.invoke("room.create", {"room": "hall", "owner": "ann", "history": True})
    await ann.ok("room.join", room="hall")


async def test_odd_arguments_are_answered_and_leave_nothing(tmp_path: Path) -> None:
    seed = randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    free = Rate(0)
    async with open_world(tmp_path, ImSettings(call_rate=free, account_rate=free)) as world:
        await prepared(world)
        ann = await world.login("ann", "tablet")
        for method in METHODS.values():
            names = list(method.args.__struct_fields__)
            for _ in range(ROUNDS if names else 1):
                given = {name: GOOD[name] for name in names if name in GOOD}
                for name in random.sample(names, min(len(names), random.choice((1, 1, 2)))):
                    given[name] = random.choice(ODD)
                before = await count(world.store)
                code = await _call(world, ann, method.name, given, random.random() < 0.5)
                assert code != Code.INTERNAL, (seed, method.name, given)
                if code:
                    assert await count(world.store) == before, (seed, method.name, given)


async def _call(world: World, person: Any, method: str, given: dict[str, Any], server: bool) -> int:
    if not server:
        code, _ = await person.call(method, **given)
        return int(code)
    try:
        encode_answer(await world.im.invoke(method, msgspec.Raw(msgspec.msgpack.encode(given)), "ann"))
    except ImError as error:
        return int(error.code)
    return 0

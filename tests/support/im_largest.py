"""One user surrounded by the largest data that the rules let others make: every list longer than a frame."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from im_service.models import encode
from im_service.ports import Session
from im_service.rates import Rate
from im_service.settings import ImSettings, LoginPolicy
from im_service.storage.records import NewLogin
from tests.support.im_world import Person, World

FREE = Rate(0)
SETTINGS = ImSettings(
    devices_per_user=10_000,
    account_rate=FREE,
    device_rate=FREE,
    conversation_rate=FREE,
    call_rate=FREE,
    room_normal_per_s=0,
    rooms_by_clients=True,
    reactions_per_user=0,
    receipt_members=5000,
    login_policy=LoginPolicy(max_devices=100),
)
WIDE = "\U0001d54f"  # four bytes of UTF-8


def name(prefix: str, number: int = 0) -> str:
    """An id as long as ids are."""
    return f"{prefix}{number:05}".ljust(64, "x")


HERO, GROUP, ROOM = name("hero"), name("group"), name("room")
BODY, EXT = {"text": WIDE * 5000}, WIDE * 4096
TEXTS = {"intro": WIDE * 4096, "announcement": WIDE * 4096, "ext": WIDE * 4096, "icon": WIDE * 2048}
PEERS = [name("peer", n) for n in range(460)]
MEMBERS = [name("member", n) for n in range(499)]


def single(peer: str) -> str:
    first, second = sorted((HERO, peer))
    return f"s/{first}:{second}"


@dataclass
class Stage:
    world: World
    hero: Person
    seqs: dict[str, int] = field(default_factory=dict)


async def build(world: World) -> Stage:
    """The hero's world. The peers' first messages share commits, so their changes share numbers."""
    stage = Stage(world, await world.login(HERO, name("device")))
    await asyncio.gather(*(_say(world, peer, "u/" + HERO, BODY) for peer in PEERS))
    await _groups(stage)
    await _room(stage)
    await _people(stage)
    for _ in range(10):
        await world.invoke("broadcast", {"body": {"data": "x" * 4000}})
    return stage


async def _say(world: World, sender: str, target: str, body: Any, **more: Any) -> Any:
    return await world.invoke("message.send", {"sender": sender, "target": target, "body": body, **more})


async def _groups(stage: Stage) -> None:
    world = stage.world
    now = world.clock.now_ms()
    for number in range(6):
        group = name("vast", number)
        fields = {"group": group, "owner": PEERS[0], "members": [HERO], "name": WIDE * 128, **TEXTS}
        await world.invoke("group.create", fields)
    made = {"group": GROUP, "owner": HERO, "members": MEMBERS, "limit": 5000, "join": "approval"}
    await world.invoke("group.create", made)
    await world.store.update_members(GROUP, MEMBERS, now, nick=WIDE * 64)
    sent = await _say(world, HERO, "g/" + GROUP, BODY, ext=EXT, options={"receipt": True})
    stage.seqs["group"] = seq = sent["seq"]
    for number in range(30):
        await world.invoke(
            "edit", {"conversation": "g/" + GROUP, "seq": seq, "body": {"text": f"{number}" + WIDE * 4990}}
        )
    await asyncio.gather(
        *(
            world.store.react("g/" + GROUP, seq, HERO, f"{n:03}" + WIDE * 29, WIDE * 256, True, now)
            for n in range(300)
        )
    )
    asked = [{"group": GROUP, "text": WIDE * 500} for _ in range(60)]
    await asyncio.gather(*(world.invoke("group.join", args, name("asks", n)) for n, args in enumerate(asked)))


async def _room(stage: Stage) -> None:
    world, now = stage.world, stage.world.clock.now_ms()
    await world.invoke(
        "room.create",
        {"room": ROOM, "owner": HERO, "name": WIDE * 128, "announcement": WIDE * 4096, "ring": 200},
    )
    await world.invoke("room.attributes", {"room": ROOM, "put": {"a": "x" * 4080}})
    await stage.hero.ok("room.join", room=ROOM)
    for number in range(20):
        await stage.hero.said("r/" + ROOM, {"text": WIDE * 1000}, ext=EXT, client_id=f"{number}")
    await asyncio.gather(
        *(world.store.set_room_member(ROOM, name("guest", n), now, muted_until_ms=now) for n in range(600))
    )
    for n in range(60):
        await world.invoke(
            "room.queue.put", {"room": ROOM, "key": f"{n:03}" + WIDE * 125, "value": WIDE * 4096}
        )


async def _people(stage: Stage) -> None:
    world, now = stage.world, stage.world.clock.now_ms()
    alias, ext = WIDE * 64, (WIDE * 1024).encode()
    await asyncio.gather(
        *(world.store.set_relation(HERO, peer, now, alias=alias, ext=ext) for peer in PEERS[:100])
    )
    info = {"nick": WIDE * 64, "icon": WIDE * 2048, "sign": WIDE * 256, "ext": WIDE * 1024}
    await asyncio.gather(*(world.store.set_profile(peer, lambda _: encode(info), now) for peer in PEERS[:20]))
    devices = [NewLogin(HERO, name("device", n), 1, 1 + n) for n in range(1, 900)]
    await world.store.logins(devices, now)
    for number in range(100):
        for at in range(9):
            conn = 10_000 + number * 10 + at
            session = Session(1, conn, PEERS[number], name("device", at))
            world.im.on_login(session, 1, conn)
    await world.settle()
    await asyncio.gather(
        *(
            world.invoke("friend.request", {"user": HERO, "text": WIDE * 500}, name("fan", n))
            for n in range(60)
        )
    )

"""What must hold of requests, relations, accounts, devices, rooms and broadcasts after any death.

Rates, room budgets and presence subscriptions live in the process and end with it: there is nothing to audit.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.support.im_victim import CALM, ROOM, USERS
from tests.support.im_world import World

Words = list[list[str]]


class PeopleAudit:
    """Checks of one reopened world against what its victims had said."""

    def __init__(self, world: World, said: Words) -> None:
        self.world, self.store = world, world.store
        self.said: dict[str, Words] = {}
        for line in said:
            self.said.setdefault(line[0], []).append(line[1:])

    async def requests(self) -> None:
        """No request is open and decided; who was let in by a decision heard of it in the log."""
        page = await self.world.invoke("group.requests", {"group": "asks", "limit": 100})
        opened = {request["id"]: request["user"] for request in page["requests"]}
        members = {m.user for m in (await self.store.members("asks", limit=5000)).items}
        assert not set(opened.values()) & members
        for number, _, _ in self.said.get("decided", []):
            assert int(number) not in opened
        invited = {r.user for r in (await self.store.requests("g/" + CALM, 0, 0, 100_000)).items}
        for users in self.said.get("inviting", []):
            assert len(invited.intersection(users)) in (0, len(users)), users
        for users in self.said.get("invited", []):
            assert invited.issuperset(users)

    async def people(self) -> None:
        for user in USERS:
            held = {r.other: r for r in (await self.store.relations(user, 0, 100_000)).items}
            friends = {name for name, row in held.items() if row.friend}
            back = await self.store.relation_pairs([(name, user) for name in friends])
            assert all(row.friend for row in back.values())
            assert len(back) == len(friends)
            asked = (await self.store.requests("u/" + user, 0, 0, 100_000)).items
            assert not friends & {request.user for request in asked}
            answered = {words[1] for word in ("friends", "refused") for words in self.said.get(word, [])}
            assert not answered & {request.user for request in asked}
            words = ("friends", "refused", "relation.black", "relation.mute", "parted")
            mine = {word: {o for u, o in self.said.get(word, []) if u == user} for word in words}
            assert mine["friends"] <= friends
            assert not (mine["refused"] | mine["parted"]) & friends
            assert all(held[name].black for name in mine["relation.black"])
            assert all(held[name].muted for name in mine["relation.mute"])
            assert all(row.alias == row.ext.decode() for row in held.values())
            assert not any(held[name].alias for name in mine["parted"])
            devices = {row.device for row in await self.store.devices(user)}
            assert {device for who, device in self.said.get("device", []) if who == user} <= devices
        for profile in await self.store.profiles(list(USERS)):
            info = msgspec.msgpack.decode(profile.info)
            assert info["nick"] == info["sign"]
        for (user,) in self.said.get("account", []):
            found = await self.world.invoke("account.get", {"user": user})
            assert found["mute_single_ms"] == found["mute_room_ms"] > 0
            assert not found["mute_group_ms"]

    async def room(self) -> None:
        people: dict[str, dict[str, Any]] = {}
        after, more = "", True
        while more:
            args = {"room": ROOM, "after": after, "limit": 500}
            page = await self.world.invoke("room.people", args)
            people |= {row["user"]: row for row in page["people"]}
            after, more = (page["people"][-1]["user"] if page["people"] else ""), page["more"]
        for method, user in self.said.get("room", []):
            row = people[user]
            mark = {"room.mute": row["muted_until_ms"], "room.black": row["black"]}
            assert mark.get(method, row["role"] == "manager")
        items = (await self.world.invoke("room.queue.list", {"room": ROOM}))["items"]
        keys = {item["key"] for item in items}
        put, taking, taken = ({w[0] for w in self.said.get(k, [])} for k in ("put", "taking", "taken"))
        assert put - taking <= keys
        assert not taken & keys
        info = await self.world.invoke("room.info", {"room": ROOM})
        assert info["name"] == info["announcement"]
        assert info["attributes"].get("a") == info["attributes"].get("b")
        tags = {mute.tag for mute in await self.store.tag_mutes(ROOM)}
        assert {tag for (tag,) in self.said.get("tag", [])} <= tags
        closing, closed = ({w[0] for w in self.said.get(k, [])} for k in ("closing", "closed"))
        for (name,) in self.said.get("room_made", []):
            (made,) = await self.store.rooms([name])
            assert made.closed if name in closed else name in closing or not made.closed

    async def broadcasts(self) -> None:
        kept = await self.store.broadcasts(0, self.world.clock.ms, 1_000_000)
        texts = {row.id: msgspec.msgpack.decode(row.payload)["body"]["text"] for row in kept}
        for number, text in self.said.get("broadcast", []):
            assert texts[int(number)] == text

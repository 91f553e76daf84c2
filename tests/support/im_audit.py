"""What must hold of a service's store after any death: whole operations, and every one that was answered."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from im_service.models import unpack_payload
from im_service.storage.records import (
    BADGE,
    EDITED,
    FILTERED,
    HISTORY,
    PERSISTENT,
    RECALLED,
    RECEIVER_NO_SENSE,
    Role,
    StoredMessage,
    View,
)
from tests.support.im_victim import GROUPS, ROOM, USERS
from tests.support.im_world import World

NOTICE = 5
Words = list[list[str]]


async def everything(world: World, talk: str) -> list[StoredMessage]:
    """The whole log of a conversation, notices too, as the server sees it."""
    view = View(((HISTORY | PERSISTENT, 0),), world.clock.ms)
    found: list[StoredMessage] = []
    more = True
    while more:
        at = found[-1].seq + 1 if found else 1
        page = await world.store.pull(None, talk, at, None, 500, view)
        found, more = found + page.items, page.more
    return found


def event(message: StoredMessage) -> dict[str, Any]:
    """The body of a notice; empty for others."""
    if message.type != NOTICE or message.flags & (RECALLED | FILTERED):
        return {}
    return dict(msgspec.msgpack.decode(unpack_payload(message.payload)[0]))


class Audit:
    """Checks of one reopened world against what its victims had said."""

    def __init__(self, world: World, said: Words) -> None:
        self.world, self.store = world, world.store
        self.said: dict[str, Words] = {}
        for line in said:
            self.said.setdefault(line[0], []).append(line[1:])
        self.logs: dict[str, list[StoredMessage]] = {}

    async def all(self) -> None:
        talks = [f"s/{a}:{b}" for a in USERS for b in USERS if a < b] + ["g/" + name for name in GROUPS]
        for talk in talks:
            self.logs[talk] = await everything(self.world, talk)
            await self.log(talk)
        for name in GROUPS:
            await self.group(name)
        await self.created()
        await self.unread()
        await self.requests()
        await self.people()
        await self.room()

    async def log(self, talk: str) -> None:
        """Seqs without a gap, nothing twice; a change of a message and its notice are both there or
        neither."""
        log = self.logs[talk]
        assert [m.seq for m in log] == list(range(1, len(log) + 1)), talk
        by_id = {m.client_id: m for m in log}
        assert len(by_id) == len(log), talk
        for conversation, client_id, seq in self.said.get("sent", []):
            if conversation == talk:
                assert by_id[client_id].seq == int(seq)
        told = Counter((body["event"], body["seq"]) for m in log if (body := event(m)) and "seq" in body)
        for m in log:
            assert bool(m.flags & RECALLED) == bool(told["recall", m.seq]), (talk, m.seq)
            assert told["recall", m.seq] <= 1
            kept = len(await self.store.versions(talk, m.seq)) if m.type != NOTICE else 0
            if m.flags & RECALLED:
                assert not kept
                assert not await self.store.reactions(talk, [m.seq])
            else:
                assert kept == told["edit", m.seq], (talk, m.seq)
                assert bool(m.flags & EDITED) == bool(kept)
        for word, name in (("recalled", "recall"), ("edited", "edit")):
            for conversation, seq in self.said.get(word, []):
                assert conversation != talk or told[name, int(seq)]
        for conversation, number, user, kind in self.said.get("reacted", []):
            if conversation != talk:
                continue
            m = log[int(number) - 1]
            if not m.flags & RECALLED:
                assert (user, kind) in [(r.user, r.kind) for r in await self.store.reactions(talk, [m.seq])]

    async def group(self, name: str) -> None:
        """Replaying the notices gives exactly the rows: neither exists without the other."""
        people: dict[str, dict[str, Any]] = {}
        owner, mute_all, title = "", False, ""
        seen: Counter[str] = Counter()
        for message in self.logs["g/" + name]:
            body = event(message)
            seen[body.get("event", "")] += 1
            fresh = {"role": Role.MEMBER, "nick": "", "muted": 0}
            match body.get("event"):
                case "group.create":
                    owner = body["owner"]
                    people = {user: dict(fresh) for user in [owner, *body["members"]]}
                    people[owner]["role"] = Role.OWNER
                case "group.join" | "group.invite":
                    people |= {user: dict(fresh) for user in body["users"]}
                case "group.leave" | "group.kick":
                    people = {user: row for user, row in people.items() if user not in body["users"]}
                case "group.transfer":
                    people[owner]["role"] = Role.MEMBER
                    owner = body["user"]
                    people[owner]["role"] = Role.OWNER
                case "group.role":
                    people[body["user"]]["role"] = Role[body["role"].upper()]
                case "group.mute":
                    people[body["user"]]["muted"] = body["until_ms"]
                case "group.nick":
                    people[body["user"]]["nick"] = body["nick"]
                case "group.mute_all":
                    mute_all = body["on"]
                case "group.update":
                    title = body["changes"]["name"]
        (row,) = await self.store.groups([name])
        members = (await self.store.members(name, limit=5000)).items
        found = {m.user: {"role": m.role, "nick": m.nick, "muted": m.muted_until_ms} for m in members}
        differ = {u: (found.get(u), people.get(u)) for u in found.keys() | people.keys()}
        differ = {user: (row, told) for user, (row, told) in differ.items() if row != told}
        assert not differ, f"{name}: rows and notices differ: {differ}"
        assert (row.owner, row.mute_all, row.member_count) == (owner, mute_all, len(members))
        info = await self.world.im.invoke("group.info", {"group": name})
        assert info["name"] == title
        for user in USERS:
            inbox = await self.store.inbox(user, "", ["g/" + name])
            assert bool(inbox and inbox[0].active) == (user in people), (name, user)
        for group, method in self.said.get("ruled", []):
            seen[method] -= group == name and method != "group.kick"
        assert min(seen.values()) >= 0, seen

    async def created(self) -> None:
        for group, owner, member in self.said.get("created", []):
            (row,) = await self.store.groups([group])
            members = {m.user for m in (await self.store.members(group)).items}
            assert (row.owner, row.member_count, members) == (owner, 2, {owner, member})
            (first,) = await everything(self.world, "g/" + group)
            assert event(first)["event"] == "group.create"

        dismissing, dismissed = ({w[0] for w in self.said.get(k, [])} for k in ("dismissing", "dismissed"))
        for group, *two in self.said.get("opened", []):
            there = bool(await self.store.groups([group]))
            rows = [await self.store.inbox(user, "", ["g/" + group]) for user in two]
            ended = [
                m for m in await everything(self.world, "g/" + group) if event(m)["event"][-7:] == "dismiss"
            ]
            assert there != bool(ended)
            assert len((await self.store.members(group)).items) == 2 * there
            assert [row[0].active for row in rows] == [there, there]
            assert group in dismissing or there
            assert group not in dismissed or not there

    async def unread(self) -> None:
        """The count equals counting by hand what the user sees of the log above his watermark."""
        for user in USERS:
            counts = await self.world.unread(user)
            for talk, log in self.logs.items():
                rows = await self.store.inbox(user, "", [talk])
                if not rows:
                    continue
                (inbox,) = rows
                for reader, conversation, seq in self.said.get("read", []):
                    assert (reader, conversation) != (user, talk) or inbox.read_seq >= int(seq)
                sees = await self.store.sees(user, talk, [m.seq for m in log], self.world.clock.ms)
                wanted = sum(
                    m.sender != user and m.seq > inbox.read_seq and m.seq in sees and not m.flags & RECALLED
                    and m.bits & (BADGE | RECEIVER_NO_SENSE) == BADGE
                    for m in log
                )  # fmt: skip
                assert counts.get(talk, 0) == wanted, (user, talk)

    async def requests(self) -> None:
        """No request is open and decided; who was let in by a decision heard of it in the log."""
        page = await self.world.im.invoke("group.requests", {"group": "asks", "limit": 100})
        opened = {request["id"]: request["user"] for request in page["requests"]}
        members = {m.user for m in (await self.store.members("asks", limit=5000)).items}
        assert not set(opened.values()) & members
        for number, _, _ in self.said.get("decided", []):
            assert int(number) not in opened

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
            mine = {w: {o for u, o in self.said.get(w, []) if u == user} for w in self.said if w != "ready"
                    and w in ("friends", "refused", "relation.black", "relation.mute")}  # fmt: skip
            assert mine.get("friends", set()) <= friends
            assert not mine.get("refused", set()) & friends
            assert all(held[name].black for name in mine.get("relation.black", ()))
            assert all(held[name].muted for name in mine.get("relation.mute", ()))
            devices = {row.device for row in await self.store.devices(user)}
            assert {device for who, device in self.said.get("device", []) if who == user} <= devices
        for profile in await self.store.profiles(list(USERS)):
            info = msgspec.msgpack.decode(profile.info)
            assert info["nick"] == info["sign"]
        for (talk,) in self.said.get("erased", []):
            assert [m.flags for m in await everything(self.world, talk)] == [FILTERED]
        for (user,) in self.said.get("account", []):
            found = await self.world.im.invoke("account.get", {"user": user})
            assert found["mute_single_ms"] == found["mute_room_ms"] > 0
            assert not found["mute_group_ms"]

    async def room(self) -> None:
        people: dict[str, dict[str, Any]] = {}
        after, more = "", True
        while more:
            args = {"room": ROOM, "after": after, "limit": 500}
            page = await self.world.im.invoke("room.people", args)
            people |= {row["user"]: row for row in page["people"]}
            after, more = (page["people"][-1]["user"] if page["people"] else ""), page["more"]
        for method, user in self.said.get("room", []):
            row = people[user]
            mark = {"room.mute": row["muted_until_ms"], "room.black": row["black"]}
            assert mark.get(method, row["role"] == "manager")
        items = (await self.world.im.invoke("room.queue.list", {"room": ROOM}))["items"]
        keys = {item["key"] for item in items}
        put, taking, taken = ({w[0] for w in self.said.get(k, [])} for k in ("put", "taking", "taken"))
        assert put - taking <= keys
        assert not taken & keys

"""What must hold of a service's store after any death: whole operations, and every one that was answered."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from im_service.models import unpack_payload
from im_service.options import CONTROL
from im_service.storage.records import (
    BADGE,
    EDITED,
    FILTERED,
    HELD,
    HISTORY,
    PERSISTENT,
    RECALLED,
    RECEIPT,
    RECEIVER_NO_SENSE,
    RELEASED,
    Role,
    Ruling,
    StoredMessage,
    View,
)
from tests.support.im_audit_people import PeopleAudit, Words
from tests.support.im_victim import CALM, GROUPS, USERS
from tests.support.im_world import World

NOTICE = 5


async def everything(world: World, talk: str) -> list[StoredMessage]:
    """The whole log of a conversation, notices too, as the server sees it."""
    view = View(((HISTORY | PERSISTENT, 0),), world.clock.ms)
    found: list[StoredMessage] = []
    more = True
    while more:
        at = found[-1].seq + 1 if found else 1
        page = await world.store.pull(None, talk, at, None, 500, view)
        found, more = found + page.items, page.more
    return await world.store.find(talk, [m.seq for m in found])  # erased ones with their senders, targets


def event(message: StoredMessage) -> dict[str, Any]:
    """The body of a notice; empty for others."""
    if message.type != NOTICE or message.flags & (RECALLED | FILTERED):
        return {}
    return dict(msgspec.msgpack.decode(unpack_payload(message.payload)[0]))


def _meant(message: StoredMessage, user: str, lowest: int) -> bool:
    """Does the message speak to this user, deletions apart? What speaks about a message below `lowest` does
    not."""
    if message.seq < lowest or message.sender == user:
        return message.seq >= lowest
    if message.bits & RECEIVER_NO_SENSE:
        return False
    return message.target is None or message.target.about >= lowest


TELL_CHANGES_ONLY = ("group.kick", "group.role", "group.mute_all")
"""Changes that may find everything as they want it: then there is no notice."""


class Audit(PeopleAudit):
    """All of it: the log and who sees what of it, receipts, groups, unread counts, and people."""

    def __init__(self, world: World, said: Words) -> None:
        super().__init__(world, said)
        self.logs: dict[str, list[StoredMessage]] = {}

    async def all(self) -> None:
        talks = [f"s/{a}:{b}" for a in USERS for b in USERS if a < b] + [
            "g/" + name for name in (*GROUPS, CALM)
        ]
        for talk in talks:
            self.logs[talk] = await everything(self.world, talk)
            await self.log(talk)
            if talk[2:] not in GROUPS:
                await self.deletions(talk)
            if talk[0] == "s":
                await self.verdicts(talk)
        for name in (*GROUPS, CALM):
            await self.group(name)
        await self.receipts()
        await self.created()
        await self.unread()
        await self.requests()
        await self.people()
        await self.room()
        await self.broadcasts()

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
            if m.flags & (RECALLED | FILTERED):
                assert not kept
                assert not await self.store.reactions(talk, [m.seq])
            else:
                assert kept == told["edit", m.seq], (talk, m.seq)
                assert bool(m.flags & EDITED) == bool(kept)
        for word, name in (("both", "recall"), ("edited", "edit")):
            for conversation, seq in self.said.get(word, []):
                assert conversation != talk or told[name, int(seq)]
        for conversation, number, user, kind in self.said.get("reacted", []):
            if conversation != talk:
                continue
            m = log[int(number) - 1]
            if not m.flags & (RECALLED | FILTERED):
                assert (user, kind) in [(r.user, r.kind) for r in await self.store.reactions(talk, [m.seq])]

    async def deletions(self, talk: str) -> None:
        """Who sees what follows from the notices alone: a message is gone for somebody if and only if one
        says so, and every deletion that was answered has its notice."""
        log = self.logs[talk]
        people = talk[2:].split(":") if talk[0] == "s" else list(USERS)
        gone: dict[str, set[int]] = {user: set() for user in people}
        told: dict[str, set[int]] = {"receiver": set(), "silent": set()}
        for notice in log:
            body = event(notice)
            if body.get("event") != "delete":
                continue
            assert notice.target is not None
            losers = set(people) - {body.get("keeps")} if notice.target.about else {notice.sender}
            for user in losers:
                gone[user].update(body["seqs"])
            if notice.target.about:
                told["receiver" if "keeps" in body else "silent"].update(body["seqs"])
        assert {m.seq for m in log if m.flags & FILTERED} == told["silent"], talk
        for user in people if log else ():
            (inbox,) = await self.store.inbox(user, "", [talk])
            sees = await self.store.sees(user, talk, [m.seq for m in log], self.world.clock.ms)
            wanted = {m.seq for m in log if m.seq not in gone[user] and _meant(m, user, inbox.min_seq)}
            assert sees == wanted, (talk, user, sees ^ wanted)
            for who, where, *seqs in self.said.get("deleted", []):
                control = {m.seq for m in log if m.bits & CONTROL}
                assert (who, where) != (user, talk) or not (sees - control).intersection(map(int, seqs))
            for who, where, low in self.said.get("cleared", []):
                if (who, where) == (user, talk):
                    assert inbox.min_seq >= int(low)
                    assert inbox.read_seq >= inbox.min_seq - 1
        for word, seqs_told in told.items():
            said = {int(seq) for where, seq in self.said.get(word, []) if where == talk}
            assert said <= seqs_told | {m.seq for m in log if m.flags & RECALLED}, (talk, word)

    async def verdicts(self, talk: str) -> None:
        """Held, released with its notice, or refused with the word to its sender: nothing in between."""
        log = self.logs[talk]
        told = Counter((body["event"], body["seq"]) for m in log if (body := event(m)) and "seq" in body)
        judged = dict(self.said.get("judged", []))
        for m in log:
            review = await self.store.review_of(talk, m.seq)
            assert review is not None or not m.bits & (HELD | RELEASED), (talk, m.seq)
            notices = told["release", m.seq], told["refuse", m.seq]
            if review is None:
                assert notices == (0, 0)
                continue
            assert notices == (review.state == Ruling.PASSED, review.state == Ruling.REFUSED), (talk, m.seq)
            released = review.state == Ruling.PASSED
            assert (bool(m.bits & HELD), bool(m.bits & RELEASED)) == (not released, released)
            said = judged.get(str(review.id))
            if said is not None:
                gone = bool(m.flags & (RECALLED | FILTERED))
                wanted = Ruling.PASSED if said == "pass" else Ruling.REFUSED
                assert review.state == wanted or (gone and review.state == Ruling.GONE)

    async def receipts(self) -> None:
        """A report is whole or nothing, counts and lists agree, every report that was answered is there."""
        talk, people = "g/" + CALM, set(USERS)
        read: dict[int, set[str]] = {}
        sender = {m.seq: m.sender for m in self.logs[talk]}
        for m in self.logs[talk]:
            if m.bits & RECEIPT and not m.flags & (RECALLED | FILTERED):
                lists = await self.store.receipt_list(talk, m.seq)
                (count,) = await self.store.receipt_counts(talk, [m.seq])
                read[m.seq] = set(lists.read)
                assert read[m.seq] | set(lists.unread) == people - {m.sender}
                assert (count.read, count.unread) == (len(lists.read), len(lists.unread))
        reported = {tuple(words) for words in self.said.get("reported", [])}
        reporting = [tuple(words) for words in self.said.get("reporting", [])]
        for user, *seqs in reporting:
            asked = [int(seq) for seq in seqs if int(seq) in read and sender[int(seq)] != user]
            found = {user in read[seq] for seq in asked}
            assert len(found) <= 1, (user, seqs)
            assert found <= {True} or (user, *seqs) not in reported
        pairs = {(user, int(seq)) for user, *seqs in reporting for seq in seqs}
        assert {(user, seq) for seq, users in read.items() for user in users} <= pairs

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
                    people[owner] |= {"role": Role.OWNER, "muted": 0}
                case "group.role":
                    for user in body["users"]:
                        people[user]["role"] = Role[body["role"].upper()]
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
        info = await self.world.invoke("group.info", {"group": name})
        assert info["name"] == title
        for user in USERS:
            inbox = await self.store.inbox(user, "", ["g/" + name])
            assert bool(inbox and inbox[0].active) == (user in people), (name, user)
        for group, method in self.said.get("ruled", []):
            seen[method] -= group == name and method not in TELL_CHANGES_ONLY
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
        """The count equals counting by hand what the user sees of the log above their watermark; a group that
        they left counts nothing."""
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
                    inbox.active and m.sender != user and m.seq > inbox.read_seq and m.seq in sees
                    and not m.flags & RECALLED and m.bits & (BADGE | RECEIVER_NO_SENSE) == BADGE
                    for m in log
                )  # fmt: skip
                assert counts.get(talk, 0) == wanted, (user, talk)

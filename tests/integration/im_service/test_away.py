"""A device that was away ends up like one that stayed, whatever happened, and reads little for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_client import TOMBSTONE, DeviceClient
from tests.support.im_world import Person, World, open_world

CHAT, TEAM = "s/alice:bob", "g/team"
FREE = Rate(0)
UNLIMITED = ImSettings(account_rate=FREE, device_rate=FREE, conversation_rate=FREE, call_rate=FREE)


class Pair:
    """One user's phone, which stays, and their desk, which goes away when told."""

    def __init__(self, world: World, user: str) -> None:
        self.phone = DeviceClient(world, user, "phone", 1)
        self.desk = DeviceClient(world, user, "desk", 4)

    async def both(self) -> None:
        for client in (self.phone, self.desk):
            await client.login()

    async def away(self) -> None:
        await self.desk.take()
        await self.desk.drop(told=True)

    async def back(self) -> None:
        await self.desk.login()
        for client in (self.phone, self.desk):
            await client.take()

    @property
    def hand(self) -> Person:
        assert self.phone.person is not None
        return self.phone.person


async def meet(world: World) -> tuple[Person, Pair]:
    """Alice, and Bob with two devices that hold five messages of Alice's."""
    alice, bob = await world.login("alice"), Pair(world, "bob")
    await bob.both()
    for number in range(1, 6):
        await alice.said("u/bob", str(number))
    await bob.phone.take()
    await bob.away()
    return alice, bob


async def test_what_was_deleted_elsewhere_goes_from_a_device_that_was_away(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await meet(world)
        await bob.hand.ok("delete", conversation=CHAT, seqs=[2, 3])
        await alice.ok("recall", conversation=CHAT, seq=4, mode="receiver")
        await world.invoke("recall", {"conversation": CHAT, "seq": 5, "mode": "silent"})
        await alice.said("u/bob", "after")
        await bob.back()
        for client in (bob.phone, bob.desk):
            assert client.screen[CHAT] == {1: "1", 9: "after"}, client.device


async def test_the_sender_keeps_what_they_took_from_the_receivers(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        olga, bob = Pair(world, "olga"), Pair(world, "bob")
        for pair in (olga, bob):
            await pair.both()
        await olga.hand.forced("group.create", group="team", members=["bob"])
        for target in ("u/bob", "g/team"):
            await olga.hand.said(target, "mine")
        for pair in (olga, bob):
            await pair.away()
        await olga.hand.ok("recall", conversation="s/bob:olga", seq=1, mode="receiver")
        await olga.hand.ok("recall", conversation=TEAM, seq=2, mode="receiver")
        for pair, kept in ((olga, True), (bob, False)):
            await pair.back()
            assert pair.desk.screen["s/bob:olga"] == ({1: "mine"} if kept else {})
            assert pair.desk.screen[TEAM] == {1: "group.create"} | ({2: "mine"} if kept else {})


async def test_recalls_edits_and_quick_comments_reach_a_device_that_was_away(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await meet(world)
        await alice.ok("recall", conversation=CHAT, seq=1)
        await alice.ok("edit", conversation=CHAT, seq=2, body={"text": "two"})
        await alice.ok("edit", conversation=CHAT, seq=2, body={"text": "zwei"})
        await alice.ok("edit", conversation=CHAT, seq=3, body={"text": "never seen"})
        await alice.ok("recall", conversation=CHAT, seq=3)
        await alice.ok("react", conversation=CHAT, seq=4, kind="+1")
        await bob.back()
        for client in (bob.phone, bob.desk):
            assert client.screen[CHAT] == {1: TOMBSTONE, 2: "zwei", 3: TOMBSTONE, 4: "4", 5: "5"}
            assert client.reactions[CHAT, 4] == {("alice", "+1")}


async def test_watermarks_relations_and_clearing_reach_a_device_that_was_away(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await meet(world)
        await bob.hand.said("u/alice", "6")
        await alice.ok("read", conversation=CHAT, seq=6)
        bob.phone.said(CHAT, 6, "6")
        await bob.hand.ok("read", conversation=CHAT, seq=3)
        bob.phone.heard("read", {"conversation": CHAT, "seq": 3})
        await bob.hand.ok("conversation.clear", conversation=CHAT, up_to_seq=2)
        bob.phone.heard("cleared", {"conversation": CHAT, "min_seq": 3})
        await bob.hand.ok("relation.black", user="mallory")
        bob.phone.heard("relation", {"user": "mallory", "black": True})
        await bob.back()
        for client in (bob.phone, bob.desk):
            assert sorted(client.screen[CHAT]) == [3, 4, 5, 6]
            assert (client.read[CHAT], client.receipts[CHAT]) == (3, 6)
            assert client.black == {"mallory"}
        assert (await bob.hand.ok("unread"))["conversations"] == {CHAT: 2}


async def test_clearing_counts_as_reading_for_the_peer_too(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await meet(world)
        await bob.hand.ok("conversation.clear", conversation=CHAT, up_to_seq=4)
        assert [n["seq"] for n in alice.connection.notices("receipt")] == [4]
        assert (await alice.ok("receipts", conversations=[CHAT]))["receipts"] == {CHAT: 4}


@pytest.mark.parametrize("ending", ["group.leave", "group.dismiss"])
async def test_who_left_or_lost_their_group_learns_what_was_before(tmp_path: Path, ending: str) -> None:
    """Edits and deletions up to the end are told also when the end came before the device did."""
    async with open_world(tmp_path) as world:
        olga, bob = await world.login("olga"), Pair(world, "bob")
        await olga.forced("group.create", group="team", members=["bob"])
        await bob.both()
        for text in ("a", "b", "c"):
            await olga.said(TEAM, text)
        await bob.away()
        await olga.ok("edit", conversation=TEAM, seq=2, body={"text": "A"})
        await bob.hand.ok("delete", conversation=TEAM, seqs=[3])
        person = bob.hand if ending == "group.leave" else olga
        await person.ok(ending, group="team")
        await bob.back()
        for client in (bob.phone, bob.desk):
            assert client.screen[TEAM] == {1: "group.create", 2: "A", 4: "c", 7: ending}
            assert client.active[TEAM] is False
        assert (await bob.hand.send(TEAM))[0] in (802, 803)


async def rows_read(world: World, person: Person, cursor: int, since: dict[str, int]) -> tuple[int, Any]:
    """-> rows the store read for one catch-up from where this device stood, and the messages it got."""
    before = (await world.store.stats())["rows_read_total"]
    page = await person.ok("sync", cursor=cursor, limit=500)
    got = {}
    for conversation, last_seq, *_ in page["conversations"]:
        start = since.get(conversation, 0) + 1
        args = {"conversation": conversation, "from_seq": start, "to_seq": last_seq}
        got[conversation] = (await person.ok("pull", **args))["messages"]
    return (await world.store.stats())["rows_read_total"] - before, got


async def test_a_deletion_costs_a_device_that_was_away_one_row(tmp_path: Path) -> None:
    """Not the messages that went, nor those it has."""
    async with open_world(tmp_path, UNLIMITED) as world:
        alice, bob, desk = [await world.login(*who) for who in (("alice",), ("bob",), ("bob", "desk", 4))]
        for number in range(300):
            await alice.said("u/bob", str(number))
        cursor = (await desk.ok("sync", cursor=0))["cursor"]
        idle, nothing = await rows_read(world, desk, cursor, {CHAT: 300})
        assert nothing == {}
        await desk.logout()
        await bob.ok("delete", conversation=CHAT, seqs=list(range(101, 201)))
        desk = await world.login("bob", "desk", 4)
        lacking, got = await rows_read(world, desk, cursor, {CHAT: 300})
        assert [m[7] for m in got[CHAT]] == [{"event": "delete", "seqs": list(range(101, 201))}]
        print(f"rows read: {idle} with nothing lacking, {lacking} with a deletion of a hundred")
        assert lacking <= idle + 8

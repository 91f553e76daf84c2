"""Chatrooms: doors, mutes, priorities, attributes, queue, several rooms on one connection."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from frame.constants import EventKind
from im_service.errors import Code
from im_service.ports import DECISION, HIGH, NORMAL, NOTICE
from im_service.rates import Rate
from im_service.settings import ImSettings
from tests.support.im_world import Person, World, open_world


async def make_room(world: World, *guests: str, **settings: object) -> tuple[Person, list[Person]]:
    owner = await world.login("olga")
    await owner.forced("room.create", room="hall", **settings)
    people = [owner, *[await world.login(name) for name in guests]]
    for person in people:
        await person.ok("room.join", room="hall")
    return owner, people[1:]


async def test_a_room_has_no_row_per_member(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, _ = await make_room(world, *[f"g{n}" for n in range(30)])
        assert (await owner.ok("room.info", room="hall"))["online"] == 31
        assert (await owner.ok("room.people", room="hall"))["people"] == []
        assert (await owner.ok("room.online", room="hall", limit=3))["users"] == ["g0", "g1", "g10"]


async def test_mutes_hold_for_their_time(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_room(world, "bob", "carl")
        await owner.ok("room.mute", room="hall", user="bob", seconds=30)
        assert (await bob.send("r/hall"))[0] == 13004
        world.clock.advance(30_001)
        assert (await bob.send("r/hall"))[0] == 0
        await owner.ok("room.mute", room="hall", user="bob")
        assert (await bob.send("r/hall"))[0] == 13004
        await owner.ok("room.mute", room="hall", user="bob", seconds=0)
        assert (await bob.send("r/hall"))[0] == 0
        await owner.ok("room.mute_all", room="hall", on=True)
        assert (await carl.send("r/hall"))[0] == 13005
        assert (await owner.send("r/hall"))[0] == 0
        await owner.ok("room.role", room="hall", user="carl", role="manager")
        assert (await carl.send("r/hall"))[0] == 0
        assert (await bob.call("room.mute_all", room="hall", on=False))[0] == 403


async def test_a_tag_is_muted_and_addressed_as_one(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_room(world, "bob", "carl")
        await bob.ok("room.join", room="hall", tags=["red"])
        await carl.ok("room.join", room="hall", tags=["blue"])
        await owner.ok("room.mute_tag", room="hall", tag="red", seconds=10)
        assert (await bob.send("r/hall"))[0] == 13004
        assert (await carl.send("r/hall"))[0] == 0
        world.clock.advance(10_001)
        assert (await bob.send("r/hall"))[0] == 0
        heard = len(carl.connection.room_messages())
        await owner.said("r/hall", "reds only", options={"tag": "red"})
        assert bob.connection.room_messages()[-1][7] == {"text": "reds only"}
        assert len(carl.connection.room_messages()) == heard


async def test_the_blacklist_and_a_kick_put_people_out(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_room(world, "bob", "carl")
        await owner.ok("room.kick", room="hall", user="carl", reason="noise")
        assert carl.connection.notices("room.kicked")[0]["reason"] == "noise"
        assert (await carl.send("r/hall"))[0] == 13001
        await carl.ok("room.join", room="hall")
        await owner.ok("room.black", room="hall", user="bob")
        assert (await bob.send("r/hall"))[0] == 13001
        assert (await bob.call("room.join", room="hall"))[0] == 13003
        await owner.ok("room.black", room="hall", user="bob", on=False)
        await bob.ok("room.join", room="hall")
        assert (await carl.call("room.black", room="hall", user="bob"))[0] == 403
        assert (await owner.call("room.kick", room="hall", user="olga"))[0] == 403


async def test_several_rooms_on_one_connection_and_all_end_with_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(rooms_per_connection=3)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        for room in ("one", "two", "three", "four"):
            await world.invoke("room.create", {"room": room})
        for room in ("one", "two", "three"):
            await alice.ok("room.join", room=room)
            await bob.ok("room.join", room=room)
        assert (await alice.call("room.join", room="four"))[0] == 409
        await alice.said("r/two", "hi")
        assert [m[0] for m in bob.connection.room_messages()] == ["r/two"]
        await alice.logout()
        assert (await bob.ok("room.info", room="one"))["online"] == 1
        assert {n["room"] for n in bob.connection.notices("room.exit")} == {"one", "two", "three"}


async def test_the_budget_is_held_by_the_gateways_and_what_they_dropped_is_told(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(room_normal_per_s=5, room_high_per_s=5)) as world:
        owner, (bob,) = await make_room(world, "bob")
        for n in range(40):
            await owner.said("r/hall", f"n{n}", options={"highPriority": n % 2 == 1})
        published = [item for item in world.downlink.published if item[2][0] == EventKind.ROOM_MESSAGES]
        assert [priority for _, _, _, priority, _ in published] == [NORMAL, HIGH] * 20
        for node in (1, 2):
            world.im.on_dropped("r/hall", 10 * node, node, 5)
        world.im.on_dropped("r/nobody_here", 1, 1, 1)
        info = await bob.ok("room.info", room="hall")
        assert [info[f"dropped_{kind}"] for kind in ("normal", "high", "notices")] == [30, 3, 10]
        stats = world.im.stats()
        assert stats["room_dropped_normal_total"] == 31
        assert stats["room_dropped_high_total"] == 4
        assert stats["room_dropped_notices_total"] == 11


async def test_nobody_takes_a_room_for_themselves(tmp_path: Path) -> None:
    """A member has a rate of their own in a room, however they come; who manages it is not bound."""
    async with open_world(tmp_path, ImSettings(room_sender_rate=Rate(1, 3))) as world:
        owner, (bob, eve) = await make_room(world, "bob", "eve")
        codes = []
        for number in range(3):
            if number:
                await eve.logout()
                eve = await world.login("eve", f"phone{number}")
                await eve.ok("room.join", room="hall")
            codes += [await eve.send("r/hall") for _ in range(3)]
        assert [code for code, _ in codes] == [0] * 3 + [Code.RATE_LIMITED] * 6
        assert codes[-1][1][1]["limit"] == "room"
        assert [(await bob.send("r/hall"))[0] for _ in range(3)] == [0] * 3, "others as before"
        assert (await eve.send("u/bob"))[0] == 0, "elsewhere as before"
        await owner.ok("room.role", room="hall", user="bob", role="manager")
        assert [(await each.send("r/hall"))[0] for each in (owner, bob) for _ in range(9)] == [0] * 18
        world.clock.advance(2_000)
        assert [(await eve.send("r/hall"))[0] for _ in range(3)] == [0, 0, Code.RATE_LIMITED]


@pytest.mark.parametrize("by_members", [False, True])
async def test_high_priority_is_for_those_who_manage_a_room(tmp_path: Path, by_members: bool) -> None:
    async with open_world(tmp_path, ImSettings(room_high_by_members=by_members)) as world:
        owner, (eve,) = await make_room(world, "eve")
        high = {"highPriority": True}
        for person in (owner, eve):
            await person.said("r/hall", options=high)
        await world.invoke(
            "message.send", {"sender": "app", "target": "r/hall", "body": {"text": "x"}, "options": high}
        )
        published = [item for item in world.downlink.published if item[2][0] == EventKind.ROOM_MESSAGES]
        assert [item[3] for item in published] == [HIGH, HIGH if by_members else NORMAL, HIGH]


async def test_a_rooms_own_budget_goes_to_the_gateways_with_who_joins_and_when_it_changes(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path, ImSettings(room_normal_per_s=20, room_high_per_s=10)) as world:
        owner, (bob,) = await make_room(world, "bob")
        budgets = world.downlink.budgets
        assert budgets["r/hall"] is None
        await owner.ok("room.update", room="hall", normal_per_s=2.5)
        assert budgets["r/hall"] == (2.5, 10)
        budgets.clear()
        await bob.ok("room.leave", room="hall")
        await bob.ok("room.join", room="hall", tags=["red"])
        assert budgets == {"r/hall": (2.5, 10), "r/hall#red": None}
        await owner.ok("room.update", room="hall", high_per_s=0)
        assert budgets["r/hall"] == (2.5, 0)
        await owner.ok("room.update", room="hall", normal_per_s=-1, high_per_s=-1)
        assert budgets["r/hall"] is None


async def test_notices_are_below_messages_and_decisions_above_what_members_do(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_room(world, "bob")
        await bob.ok("room.queue.put", room="hall", key="bob")
        await owner.ok("room.queue.poll", room="hall", key="bob")
        await owner.ok("room.attributes", room="hall", put={"topic": "cats"})
        await owner.ok("room.mute_all", room="hall", on=True)
        await owner.ok("room.recall", room="hall", server_id=1)
        await bob.ok("room.leave", room="hall")
        told = [
            (msgspec.msgpack.decode(body[1:])[0], priority)
            for topic, _, body, priority, _ in world.downlink.published
            if topic == "r/hall" and body[0] == 2
        ]
        assert [each for each in told if each[0] != "room.enter"] == [
            ("room.queue", NOTICE),
            ("room.queue", DECISION),
            ("room.attributes", DECISION),
            ("room.mute_all", DECISION),
            ("room.recall", DECISION),
            ("room.exit", NOTICE),
        ]
        assert {priority for name, priority in told if name == "room.enter"} == {NOTICE}


async def test_the_abandon_ratio_drops_its_share(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(room_normal_per_s=0)) as world:
        owner, (bob,) = await make_room(world, "bob")
        for _ in range(50):
            await owner.said("r/hall", "maybe", options={"abandonRatio": 9999})
        heard = len(bob.connection.room_messages())
        assert heard + (await owner.ok("room.info", room="hall"))["dropped_normal"] == 50
        assert heard < 10


async def test_a_ring_greets_newcomers_and_history_is_kept_on_demand(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_room(world, "bob", ring=2, history=True)
        for text in "abc":
            await owner.said("r/hall", text)
        await owner.said("r/hall", "d", options={"skipHistory": True})
        dora = await world.login("dora")
        recent = (await dora.ok("room.join", room="hall"))["recent"]
        assert [m[7]["text"] for m in recent] == ["c", "d"]
        shown = (await dora.ok("history", conversation="r/hall", reverse=False))["messages"]
        assert [m[7]["text"] for m in shown] == ["a", "b", "c"]
        eve = await world.login("eve")
        assert (await eve.call("history", conversation="r/hall"))[0] == 13001
        assert [m[1] for m in bob.connection.room_messages()] == [1, 2, 3, 0]


async def test_of_those_who_put_one_key_at_once_one_has_it_and_the_others_hear_so(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path) as world:
        _, guests = await make_room(world, *[f"g{n}" for n in range(6)])
        for round in range(5):
            key = f"mic{round}"
            answers = await asyncio.gather(
                *[guest.call("room.queue.put", room="hall", key=key, value=guest.user) for guest in guests]
            )
            assert sorted(code for code, _ in answers) == [0, *[403] * 5]
            (winner,) = [guest for guest, (code, _) in zip(guests, answers, strict=True) if code == 0]
            (item,) = (await winner.ok("room.queue.list", room="hall"))["items"]
            assert (item["owner"], item["value"]) == (winner.user, winner.user)
            others = [guest for guest in guests if guest is not winner]
            answers = await asyncio.gather(
                *[guest.call("room.queue.poll", room="hall", key=key) for guest in (*others, winner, winner)]
            )
            assert [code for code, _ in answers] == [*[403] * 5, 0, 403]


async def test_attributes_and_queue(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(room_grace_ms=0)) as world:
        owner, (bob, carl) = await make_room(world, "bob", "carl")
        await owner.ok("room.attributes", room="hall", put={"topic": "tea", "x": "1"})
        await owner.ok("room.attributes", room="hall", remove=["x"])
        assert (await bob.ok("room.join", room="hall"))["attributes"] == {"topic": "tea"}
        assert (await bob.call("room.attributes", room="hall", put={"a": "b"}))[0] == 403
        await bob.ok("room.queue.put", room="hall", key="mic1", value="bob", transient=True)
        await carl.ok("room.queue.put", room="hall", key="mic2", value="carl")
        await owner.ok("room.queue.put", room="hall", key="mic0", front=True)
        assert (await carl.call("room.queue.put", room="hall", key="mic1"))[0] == 403
        keys = [i["key"] for i in (await carl.ok("room.queue.list", room="hall"))["items"]]
        assert keys == ["mic0", "mic1", "mic2"]
        await bob.logout()
        keys = [i["key"] for i in (await carl.ok("room.queue.list", room="hall"))["items"]]
        assert keys == ["mic0", "mic2"]
        assert (await carl.call("room.queue.poll", room="hall"))[0] == 403
        assert (await owner.ok("room.queue.poll", room="hall"))["item"]["key"] == "mic0"
        assert (await owner.ok("room.queue.drop", room="hall"))["dropped"] == 1
        empty = await owner.ok("room.queue.list", room="hall")
        assert empty == {"items": [], "after": None, "more": False}
        await owner.ok("room.queue.put", room="hall", key="late", front=True)
        found = await owner.ok("room.queue.list", room="hall", after=empty["after"])
        assert [item["key"] for item in found["items"]] == ["late"], "an empty list is no place behind which"


async def test_a_transient_element_does_not_outlive_its_owner_when_the_process_dies(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_room(world, "bob", "carl")
        for person, key in ((bob, "mic1"), (carl, "mic2"), (bob, "mic3")):
            args = {"room": "hall", "key": key, "value": person.user, "transient": key != "mic2"}
            await person.ok("room.queue.put", **args)

    async def keys(person: Person) -> list[str]:
        return [item["key"] for item in (await person.ok("room.queue.list", room="hall"))["items"]]

    async with open_world(tmp_path) as world:
        owner, dora = await world.login("olga"), await world.login("dora")
        for person in (owner, dora):
            await person.ok("room.join", room="hall")
        assert await keys(dora) == ["mic2"]
        await dora.ok("room.queue.put", room="hall", key="mic3", value="dora", transient=True)
        assert await keys(dora) == ["mic2", "mic3"]
        assert (await owner.ok("room.queue.poll", room="hall"))["item"]["key"] == "mic2"
        bob = await world.login("bob")
        await bob.ok("room.join", room="hall")
        assert await keys(bob) == ["mic3"]


async def test_a_rooms_settings_are_changed_by_those_who_manage_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_room(world, "bob")
        assert (await bob.call("room.update", room="hall", name="mine"))[0] == 403
        found = await owner.ok("room.update", room="hall", name="Hall", announcement="tea at four", ring=1)
        assert (found["name"], found["announcement"], found["ring"]) == ("Hall", "tea at four", 1)
        assert bob.connection.notices("room.update")[0]["changes"]["name"] == "Hall"
        await owner.said("r/hall", "kept")
        dora = await world.login("dora")
        assert len((await dora.ok("room.join", room="hall"))["recent"]) == 1


async def test_in_and_out_notices_stop_when_the_room_is_full(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(room_notice_members=3)) as world:
        owner, _ = await make_room(world, "a", "b", "c", "d")
        assert [n["user"] for n in owner.connection.notices("room.enter")] == ["a", "b"]


async def test_a_closed_room_stays_closed(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_room(world, "bob")
        assert (await bob.call("room.close", room="hall"))[0] == 403
        await owner.ok("room.close", room="hall")
        assert (await bob.call("room.join", room="hall"))[0] == 13002
        assert (await bob.send("r/hall"))[0] == 13002
        assert await world.attempt("room.create", {"room": "hall"}, "olga") == 409

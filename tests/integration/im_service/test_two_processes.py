"""Two im processes over one store: one has the login, the other the room or the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from im_service.context import Ports
from im_service.errors import ImError
from im_service.ports import Devices, Session
from im_service.service import ImService
from tests.support.im_downlink import Connection, RecordingDownlink
from tests.support.im_world import Person, World, open_world


class Wire:
    """Carries changes from one service to the other, as the bus does."""

    def __init__(self) -> None:
        self.other: ImService | None = None
        self.words: list[tuple[str, str]] = []

    def changed(self, kind: str, key: str) -> None:
        self.words.append((kind, key))

    async def deliver(self) -> None:
        assert self.other is not None
        words, self.words = self.words, []
        for kind, key in words:
            await self.other.on_peer_change(kind, key)
        await self.other.settle()


class Everywhere:
    """Presence from the gateways' side."""

    def __init__(self, downlink: RecordingDownlink) -> None:
        self._downlink = downlink

    def online(self, user: str) -> bool:
        return bool(self._of(user))

    async def devices(self, users: Sequence[str]) -> dict[str, Devices]:
        return {user: self._of(user) for user in users}

    def _of(self, user: str) -> Devices:
        connections = self._downlink.connections.values()
        return [(c.session.device, 1) for c in connections if c.session.user == user]


def second(world: World, wire: Wire) -> ImService:
    return ImService(world.store, Ports(world.downlink, world.clock, wire, Everywhere(world.downlink)))


async def at(other: ImService, world: World, person: Person, method: str, **args: object) -> object:
    """A call that another process answers."""
    request = next(world.numbers)
    other.on_call(person.session, request, method, msgspec.msgpack.encode(args))
    return (await person.answer(request))[1]


async def test_a_room_at_the_other_process_is_left_with_the_connection(tmp_path: Path) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        await world.invoke("room.create", {"room": "hall"})
        alice, bob = await world.login("alice"), await world.login("bob")
        for person in (alice, bob):
            joined = await at(other, world, person, "room.join", room="hall")
            assert isinstance(joined, dict)
        await there.deliver()
        assert (await other.room_table.get("hall")).online == 2
        await alice.logout()
        await there.deliver()
        assert (await other.room_table.get("hall")).online == 1
        assert bob.connection.notices("room.exit")[0]["user"] == "alice"
        await other.stop()


async def test_a_watcher_at_the_other_process_hears_of_a_login(tmp_path: Path) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        alice = await world.login("alice")
        await at(other, world, alice, "presence.subscribe", users=["bob"])
        bob = await world.login("bob")
        await there.deliver()
        await world.login("bob", "tablet", 6)
        await there.deliver()

        def told() -> list[Any]:
            return [body for kind, body in alice.connection.events if kind == 4]

        phone, tablet = ({"device": d, "platform": p} for d, p in (("phone", 1), ("tablet", 6)))
        assert told() == [["bob", True, [phone]], ["bob", True, [phone, tablet]]]
        await bob.logout()
        await there.deliver()
        assert told()[-1] == ["bob", True, [tablet]]
        await other.stop()


async def test_watchers_hear_the_process_that_serves_a_user_not_what_is_left_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.ok("presence.subscribe", users=["bob"])
        other.on_session(bob.session, 1, 1)  # it serves bob from now on
        begin(other, world, "bob", "tablet")
        await other.settle()
        await back.deliver()
        told = [body[2] for kind, body in alice.connection.events if kind == 4]
        assert [device["device"] for device in told[-1]] == ["phone", "tablet"]
        for session in [c.session for c in world.downlink.connections.values() if c.session.user == "bob"]:
            world.downlink.disconnect(session)
            other.on_logout(session, 1000)
        await other.settle()
        await back.deliver()
        assert [body[1] for kind, body in alice.connection.events if kind == 4][-1] is False
        await other.stop()


@pytest.mark.parametrize("goes_on", [True, False])
async def test_the_end_of_a_session_here_says_nothing_of_those_that_another_process_serves(
    tmp_path: Path, goes_on: bool
) -> None:
    """The set of im processes changed: the user's next login went to the other one."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        everywhere = Everywhere(world.downlink)
        other = ImService(world.store, Ports(world.downlink, world.clock, back, everywhere))
        there.other, back.other = other, world.im
        alice = await world.login("alice")
        await alice.ok("presence.subscribe", users=["bob"])
        begin(other, world, "bob")
        await other.settle()
        session = next(c.session for c in world.downlink.connections.values() if c.session.user == "bob")
        await back.deliver()
        if goes_on:
            world.downlink.connect(session._replace(conn=99, device="tablet"), 99)
        world.downlink.disconnect(session)
        other.on_logout(session, 1000)
        await other.settle()
        await back.deliver()
        told = [body[1] for kind, body in alice.connection.events if kind == 4]
        assert told == ([True] if goes_on else [True, False])
        await other.stop()


async def test_an_answer_about_who_is_online_is_never_older_than_what_was_told_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        everywhere, gate = Everywhere(world.downlink), asyncio.Event()
        ask = everywhere.devices

        async def slow(users: Sequence[str]) -> dict[str, Devices]:
            found = await ask(users)
            await gate.wait()
            return found

        other = ImService(world.store, Ports(world.downlink, world.clock, back, everywhere))
        there.other, back.other = other, world.im
        alice, carl = await world.login("alice"), await world.login("carl")
        await there.deliver()
        monkeypatch.setattr(everywhere, "devices", slow)
        asked = asyncio.create_task(at(other, world, alice, "presence.subscribe", users=["bob", "carl", "d"]))
        await asyncio.sleep(0)
        await world.login("bob")
        await carl.logout()
        for kind, key in there.words:
            await other.on_peer_change(kind, key)
        gate.set()
        answer = await asked
        assert isinstance(answer, dict)
        assert [(state["user"], state["online"]) for state in answer["states"]] == [
            ("bob", True),
            ("carl", False),
            ("d", False),
        ]
        await other.stop()


async def test_a_group_changed_here_is_seen_there_and_both_count_one_log(tmp_path: Path) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.forced("group.create", group="team", members=["bob"])

        async def there_says(person: Person, text: str) -> tuple[int, object]:
            request = next(world.numbers)
            payload = msgspec.msgpack.encode([text, 0, {"text": text}, None, None])
            session = Session(*person.session)
            other.on_sends([(session, request, "g/team", payload)])
            return await person.answer(request)

        answers = await asyncio.gather(
            *[there_says(bob, f"b{n}") for n in range(5)], *[alice.send("g/team", f"a{n}") for n in range(5)]
        )
        assert [code for code, _ in answers] == [0] * 10
        assert sorted(m[1] for m in alice.connection.messages if m[4] == "bob") != []
        seqs = [m[1] for m in (await alice.ok("history", conversation="g/team"))["messages"]]
        assert seqs == list(range(11, 0, -1))
        await alice.ok("group.kick", group="team", users=["bob"])
        await there.deliver()
        assert (await there_says(bob, "late"))[0] == 802
        await other.stop()


async def test_an_account_that_another_process_disabled_hears_no_more_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's kick goes another way than what is published here: this process kicks on its own way."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        alice, bob = await world.login("alice"), await world.login("bob")
        kicks: list[str] = []
        monkeypatch.setattr(world.downlink, "kick", lambda user, *how: kicks.append(user))
        await other.invoke("account.disable", {"user": "alice"})
        kicks.clear()
        await back.deliver()
        assert kicks == ["alice"]
        await bob.said("u/alice")
        assert alice.connection.messages == []
        await other.invoke("account.disable", {"user": "alice", "seconds": 0})
        await back.deliver()
        await bob.said("u/alice")
        assert len(alice.connection.messages) == 1
        await other.stop()


async def test_a_blacklist_or_the_end_of_a_room_puts_out_whom_the_other_process_knows_inside(
    tmp_path: Path,
) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        await world.invoke("room.create", {"room": "hall"})
        people = [await world.login(name) for name in ("alice", "bob", "carl")]
        for person in people:
            await at(other, world, person, "room.join", room="hall")
        alice, bob, carl = (person.connection for person in people)
        await world.invoke("room.black", {"room": "hall", "user": "alice"})
        await there.deliver()
        assert "r/hall" not in alice.topics
        assert {"r/hall"} <= bob.topics & carl.topics
        assert sorted((await other.room_table.get("hall")).members) == ["bob", "carl"]
        await world.invoke("room.close", {"room": "hall"})
        await there.deliver()
        assert not (await other.room_table.get("hall")).members
        assert "r/hall" not in bob.topics | carl.topics
        await other.stop()


async def test_what_was_decided_about_a_room_while_its_words_were_lost_is_obeyed(tmp_path: Path) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        for room in ("hall", "yard"):
            await world.invoke("room.create", {"room": room})
        alice = await world.login("alice")
        for room in ("hall", "yard"):
            await at(other, world, alice, "room.join", room=room)
        await world.invoke("room.black", {"room": "hall", "user": "alice"})
        await world.invoke("room.close", {"room": "yard"})
        there.words = [("all", "")]
        await there.deliver()
        assert alice.connection.topics == {"u/alice"}
        await other.stop()


def begin(other: ImService, world: World, user: str, device: str = "phone") -> Connection:
    """A login that another process answers; nobody waits for it."""
    number = next(world.numbers)
    session = Session(1, number, user, device)
    connection = world.downlink.connect(session, number)
    other.on_login(session, 1, number)
    return connection


@pytest.mark.parametrize("changed_by", ["the process of the login", "another process"])
async def test_a_kick_or_an_invitation_during_a_login_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed_by: str
) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        for group in ("left", "stays"):
            await world.invoke("group.create", {"group": group, "owner": "own", "members": ["bob"]})
        await world.invoke("group.create", {"group": "came", "owner": "own"})
        await there.deliver()
        logins, gate, read = world.store.logins, asyncio.Event(), asyncio.Event()

        async def held_back(*args: Any) -> Any:
            found = await logins(*args)
            read.set()
            await gate.wait()
            return found

        monkeypatch.setattr(world.store, "logins", held_back)
        bob = begin(other, world, "bob")
        await read.wait()
        decider = other if changed_by == "the process of the login" else world.im
        await decider.invoke("group.kick", {"group": "left", "users": ["bob"]})
        bob.topics.discard("g/came")
        await decider.invoke("group.invite", {"group": "came", "users": ["bob"]})
        bob.topics.discard("g/came")  # the inviter did not know of this gateway yet
        words, there.words = there.words, []
        for kind, key in words:
            await other.on_peer_change(kind, key)
        gate.set()
        await other.settle()
        assert bob.topics == {"u/bob", "g/stays", "g/came"}
        await world.im.invoke("message.send", {"sender": "own", "target": "g/left", "body": {"text": "x"}})
        assert {"text": "x"} not in [message[7] for message in bob.messages]
        await other.stop()


async def test_a_join_that_is_slower_than_the_kick_of_another_process_is_taken_back(tmp_path: Path) -> None:
    """Each process has its own way to the gateways: the order of two is nobody's."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        await world.invoke("group.create", {"group": "team", "owner": "own", "members": ["bob"]})
        bob = begin(other, world, "bob")
        await other.settle()
        await world.invoke("group.kick", {"group": "team", "users": ["bob"]})
        bob.topics.add("g/team")  # the join arrives behind the kick
        await there.deliver()
        assert bob.topics == {"u/bob"}
        await other.stop()


async def test_who_is_in_a_room_goes_along_when_another_process_serves_it(tmp_path: Path) -> None:
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        other = second(world, back)
        there.other, back.other = other, world.im
        for room in ("hall", "yard", "stays", "ended"):
            await world.invoke("room.create", {"room": room})
        people = {name: await world.login(name) for name in ("alice", "bob", "carl")}
        for person in people.values():
            for room in ("hall", "yard", "stays", "ended"):
                await person.ok("room.join", room=room, tags=["vip"])
        alice, bob, carl = people.values()
        await other.invoke("room.black", {"room": "yard", "user": "alice"})  # its words are on the way
        await other.invoke("room.close", {"room": "ended"})
        before = len(world.downlink.published)
        await world.im.on_peers_changed(lambda topic: None if topic == "r/stays" else there.changed)
        there.words.insert(0, ("session", " ".join(map(str, carl.session))))  # overtakes its guests
        await carl.logout()
        await there.deliver()
        told = [topic for topic, *_ in world.downlink.published[before:]]
        assert told == ["r/stays"], "nobody else came or went"

        async def inside(im: ImService, room: str) -> list[str]:
            return sorted((await im.room_table.get(room)).members)

        rooms = ("hall", "yard", "stays", "ended")
        assert [await inside(world.im, room) for room in rooms] == [[], [], ["alice", "bob"], []]
        assert [await inside(other, room) for room in rooms] == [["alice", "bob"], ["bob"], [], []]
        kept = {"u/bob", "r/hall", "r/hall#vip", "r/yard", "r/yard#vip", "r/stays", "r/stays#vip"}
        assert bob.connection.topics == kept
        assert alice.connection.topics == {"u/alice"} | {t for t in kept if t[2:6] in ("hall", "stay")}
        payload = msgspec.msgpack.encode(["c1", 0, {"text": "hi"}, None, None])
        other.on_sends([(bob.session, 9_999, "r/hall", payload)])
        assert (await bob.answer(9_999))[0] == 0
        await bob.logout()
        await there.deliver()
        assert await inside(other, "hall") == ["alice"]
        assert alice.connection.notices("room.exit")[-1]["user"] == "bob"
        await other.invoke("room.kick", {"room": "hall", "user": "alice"})
        assert not {"r/hall", "r/hall#vip"} & alice.connection.topics
        await other.stop()


@pytest.mark.parametrize(("how", "code"), [("room.black", 0), ("room.kick", 13001)])
async def test_whoever_is_put_out_is_out_though_nobody_knows_them_inside(
    tmp_path: Path, how: str, code: int
) -> None:
    """The im process that knew who is inside died; a client that does not enter again stays in its topics."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        fresh = second(world, back)
        await world.invoke("room.create", {"room": "hall"})
        people = [await world.login(name) for name in ("alice", "bob")]
        for person in people:
            await person.ok("room.join", room="hall", tags=["vip"])
        with pytest.raises(ImError) if code else nullcontext() as refused:
            await fresh.invoke(how, {"room": "hall", "user": "alice"})
        assert refused is None or refused.value.code == code
        alice, bob = (person.connection.topics for person in people)
        assert (alice, bob) == ({"u/alice"}, {"u/bob", "r/hall", "r/hall#vip"})
        hall = await fresh.room_table.get("hall")
        for person in people:
            fresh.on_inside(person.session, "r/hall#vip")  # a gateway saw them just before
        assert sorted(hall.members) == ["bob"]
        await fresh.stop()


async def test_a_kick_of_before_a_gateway_gave_the_process_up_puts_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        await alice.ok("room.join", room="hall")
        gate, read, get = asyncio.Event(), asyncio.Event(), world.im.room_table.get

        async def slow(room: str) -> Any:
            found = await get(room)
            read.set()
            await gate.wait()
            return found

        monkeypatch.setattr(world.im.room_table, "get", slow)
        late = asyncio.create_task(world.attempt("room.kick", {"room": "hall", "user": "alice"}))
        await read.wait()
        world.im.on_afresh(alice.session.node)
        gate.set()
        assert await late == 503
        world.im.on_inside(alice.session, "r/hall")
        assert "r/hall" in alice.connection.topics
        assert await world.attempt("room.kick", {"room": "hall", "user": "alice"}) == 0
        assert alice.connection.topics == {"u/alice"}


async def test_whoever_leaves_is_out_though_nobody_knows_them_inside(tmp_path: Path) -> None:
    """The im process that knew them inside died; this one serves the room now."""
    there, back = Wire(), Wire()
    async with open_world(tmp_path, peers=there) as world:
        fresh = second(world, back)
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        await alice.ok("room.join", room="hall", tags=["vip"])
        assert await at(fresh, world, alice, "room.leave", room="hall") == {}
        assert alice.connection.topics == {"u/alice"}
        fresh.on_inside(alice.session, "r/hall#vip")  # a gateway saw it just before
        await fresh.settle()
        await fresh.room_table.get("hall")
        await asyncio.sleep(0)
        assert (await fresh.room_table.get("hall")).online == 0
        await at(fresh, world, alice, "room.join", room="hall")
        assert (await fresh.room_table.get("hall")).online == 1
        fresh.on_left(alice.session.node, alice.session.conn, "r/hall")
        assert (await fresh.room_table.get("hall")).online == 0
        await fresh.stop()


async def test_guests_are_learned_from_the_gateways_with_their_tags(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        fresh = second(world, Wire())
        for room in ("hall", "ended"):
            await world.invoke("room.create", {"room": room})
        people = [await world.login(name) for name in ("alice", "bob")]
        for person in people:
            for room in ("hall", "ended"):
                await person.ok("room.join", room=room, tags=["red", "blue"])
        alice, bob = people
        await world.invoke("room.black", {"room": "hall", "user": "bob"})
        bob.connection.topics |= {"r/hall", "r/hall#red"}  # nobody told that one's gateway
        ended = alice.connection.topics - {"r/ended", "r/ended#red", "r/ended#blue"}
        await world.invoke("room.close", {"room": "ended"})
        alice.connection.topics.add("r/ended")
        published = len(world.downlink.published)
        for person in people:
            fresh.on_inside(person.session, "r/hall#red#blue")
        fresh.on_inside(alice.session, "r/ended")
        async with asyncio.timeout(10):
            while "r/ended" in alice.connection.topics:  # noqa: ASYNC110
                await asyncio.sleep(0)
        hall = await fresh.room_table.get("hall")
        assert sorted(hall.members) == ["alice"]
        assert alice.connection.topics == ended
        assert not {topic for topic in bob.connection.topics if topic.startswith("r/")}
        assert len(world.downlink.published) == published, "nobody came"
        await at(fresh, world, alice, "room.join", room="hall", tags=["blue"])
        assert "r/hall#red" not in alice.connection.topics
        fresh.on_afresh(alice.session.node)
        assert hall.online == 0
        assert "r/hall" in alice.connection.topics, "the gateway knows best"
        await at(fresh, world, alice, "room.leave", room="hall")
        fresh.on_inside(alice.session, "r/hall")
        assert hall.online == 0
        fresh.on_afresh(alice.session.node)
        fresh.on_inside(alice.session, "r/hall")
        assert hall.online == 1, "that leave was not heeded"
        guest = " ".join(["hall", *map(str, bob.session)])
        await world.invoke("room.black", {"room": "hall", "user": "bob", "on": False})
        await fresh.on_peer_change("room", "hall")
        await fresh.on_peer_change("guest", guest)
        assert sorted(hall.members) == ["alice"], "said while this process stood still"
        world.clock.advance(3_000)
        await fresh.on_peer_change("guest", guest)
        assert sorted(hall.members) == ["alice", "bob"]
        await fresh.on_peer_change("left", f"{bob.session.node} {bob.session.conn} hall")
        assert sorted(hall.members) == ["alice"]
        alice.connection.topics -= {"r/hall", "r/hall#red"}
        await at(fresh, world, alice, "room.join", room="hall", tags=["red"])
        assert {"r/hall", "r/hall#red"} <= alice.connection.topics, "inside, so they hear"
        await fresh.stop()


async def test_a_call_of_before_its_gateway_gave_the_process_up_enters_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path) as world:
        await world.invoke("room.create", {"room": "hall"})
        alice = await world.login("alice")
        gate, read, get = asyncio.Event(), asyncio.Event(), world.im.room_table.get

        async def slow(room: str) -> Any:
            found = await get(room)
            read.set()
            await gate.wait()
            return found

        monkeypatch.setattr(world.im.room_table, "get", slow)
        late = asyncio.create_task(alice.call("room.join", room="hall"))
        await read.wait()
        world.im.on_afresh(alice.session.node)
        gate.set()
        assert (await late)[0] == 504
        assert alice.connection.topics == {"u/alice"}
        await alice.ok("room.join", room="hall")
        assert "r/hall" in alice.connection.topics

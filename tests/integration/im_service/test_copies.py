"""What is copied."""

from __future__ import annotations

from pathlib import Path

from im_service.settings import EventCopy, ImSettings
from tests.support.im_world import open_world

EVERYTHING = ImSettings(
    rooms_by_clients=True,
    copy=EventCopy(
        record=(
            "account", "broadcast", "moderation", "reaction", "receipt", "relation", "room", "session",
            "unkept",
        )
    ),
)  # fmt: skip


async def test_copies_say_what_happened_and_where_to(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(copy=EventCopy(record=("unkept",)))) as world:
        alice = await world.login("alice")
        await alice.ok("group.create", group="team")
        await world.invoke("room.create", {"room": "hall"})
        await alice.ok("room.join", room="hall")
        await alice.said("u/bob", "a")
        await alice.said("g/team", "b", options={"env": "audit"})
        await alice.said("r/hall", "c")
        await alice.said("u/bob", "d", options={"route": False})
        await alice.ok("recall", conversation="s/alice:bob", seq=1)
        told = await world.copies()
        assert [(event.kind, event.env, event.subject) for event in told] == [
            ("group.create", None, "g/team"),
            ("message.single", None, "s/alice:bob"),
            ("message.group", "audit", "g/team"),
            ("message.room", None, "r/hall"),
            ("message.recall", None, "s/alice:bob"),
        ]
        assert told[1].data["recalled"], "a reader that comes later meets the message as it is"
        assert told[2].data["body"] == {"text": "b"}
        assert told[4].data["notice"]["seq"] == 1
        assert len({event.event_id for event in told}) == len(told)
        assert all(event_id == event.data["server_id"] for event in told for event_id in [event.event_id])


async def test_every_recorded_change_is_an_event_once(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.ok("room.create", room="hall", name="Hall")
        await alice.ok("room.attributes", room="hall", put={"a": "1"})
        await alice.ok("room.role", room="hall", user="bob", role="manager")
        await alice.ok("room.mute_all", room="hall", on=True)
        await alice.ok("friend.request", user="bob")
        requests = (await bob.ok("friend.requests"))["requests"]
        await bob.ok("friend.decide", id=requests[0]["id"], accept=True)
        await alice.ok("relation.black", user="bob", on=True)
        await alice.ok("relation.black", user="bob", on=False)
        await alice.ok("profile.set", nick="Al")
        await alice.said("u/bob", "hi")
        await bob.ok("read", conversation="s/alice:bob", seq=1)
        await bob.ok("read", conversation="s/alice:bob", seq=1)
        await bob.ok("react", conversation="s/alice:bob", seq=1, kind="ok", on=True)
        await world.invoke("account.mute", {"user": "bob", "single_s": 5})
        await alice.ok("room.close", room="hall")
        await bob.logout()
        told = await world.copies()
        assert [(event.kind, event.subject) for event in told] == [
            ("session.login", "u/alice"), ("session.login", "u/bob"), ("room.create", "r/hall"),
            ("room.attributes", "r/hall"), ("room.role", "r/hall"), ("room.mute_all", "r/hall"),
            ("relation.request", "u/bob"), ("relation.friend", "u/bob"), ("relation.black", "u/alice"),
            ("relation.black", "u/alice"), ("account.profile", "u/alice"), ("message.single", "s/alice:bob"),
            ("receipt.read", "s/alice:bob"), ("message.reaction", "s/alice:bob"), ("account.mute", "u/bob"),
            ("room.close", "r/hall"), ("session.logout", "u/bob"),
        ]  # fmt: skip
        assert told[-1].data["session_id"] == told[1].data["session_id"]


async def test_what_no_view_keeps_is_acknowledged_when_its_event_is_committed(tmp_path: Path) -> None:
    async with open_world(tmp_path, EVERYTHING) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        server_id, seq = await alice.said("u/bob", "gone soon", options={"onlineOnly": True, "env": "e"})
        event = (await world.copies())[-1]
        assert (event.event_id, event.env, seq) == (str(server_id), "e", 0)
        assert bob.connection.messages[-1][2] == server_id
        await world.store.stop()
        code, _ = await alice.send("u/bob", "lost", options={"onlineOnly": True})
        assert code == 503
        assert len(bob.connection.messages) == 1, "what cannot be told is not delivered"
        await world.store.start()


async def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await alice.ok("profile.set", nick="Al")
        await alice.said("u/bob", "x", options={"onlineOnly": True})
        await alice.logout()
        assert await world.copies() == []

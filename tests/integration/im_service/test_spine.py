"""Two people and a chatroom: durable acks, idempotent sends, live delivery, catching up."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.support.im_world import open_world, until


async def test_a_message_is_acked_with_its_seq_and_delivered_live(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        first = await alice.said("u/bob", "one")
        second = await alice.said("u/bob", "two")
        assert (first[1], second[1]) == (1, 2)
        assert second[0] > first[0]
        assert [(m[0], m[1], m[2], m[4], m[7]) for m in bob.connection.messages] == [
            ("s/alice:bob", 1, first[0], "alice", {"text": "one"}),
            ("s/alice:bob", 2, second[0], "alice", {"text": "two"}),
        ]
        assert alice.connection.messages == []


async def test_the_senders_other_devices_get_a_copy(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        phone, desk = await world.login("alice"), await world.login("alice", "desk", 4)
        await phone.said("u/bob", "hi")
        assert [m[7] for m in desk.connection.messages] == [{"text": "hi"}]
        assert phone.connection.messages == []


async def test_the_same_client_id_gets_the_same_answer_and_other_content_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        first = await alice.send("u/bob", "one", client_id="c1")
        again = await alice.send("u/bob", "one", client_id="c1")
        other = await alice.send("u/bob", "changed", client_id="c1")
        assert first == again
        assert other[0] == 417
        assert len(bob.connection.messages) == 1


async def test_a_burst_in_one_batch_keeps_its_order(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        batch = [
            (
                alice.session,
                1000 + i,
                "u/bob",
                msgspec.msgpack.encode([f"c{i}", 0, {"text": str(i)}, None, None]),
            )
            for i in range(300)
        ]
        world.im.on_sends(batch[:150])
        world.im.on_sends(batch[150:])
        await until(lambda: len(alice.connection.replies) == 300)
        assert [m[1] for m in bob.connection.messages] == list(range(1, 301))
        assert [m[7]["text"] for m in bob.connection.messages] == [str(i) for i in range(300)]
        assert [alice.connection.replies[1000 + i][1][1] for i in range(300)] == list(range(1, 301))


async def test_who_was_away_catches_up_and_owes_nothing_after_the_ack(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await bob.logout()
        for i in range(250):
            await alice.said("u/bob", str(i))
        bob = await world.login("bob")
        got = await bob.catch_up()
        assert [m[7]["text"] for m in got["s/alice:bob"]] == [str(i) for i in range(250)]
        assert await bob.catch_up() == {}


async def test_bad_sends_are_refused_with_the_right_code(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        assert (await alice.send("u/alice"))[0] == 414
        assert (await alice.send("x/bob"))[0] == 414
        assert (await alice.send("u/no spaces"))[0] == 414
        assert (await alice.send("u/bob", {"no": "text"}))[0] == 414
        assert (await alice.send("u/bob", type=77))[0] == 414
        assert (await alice.send("u/bob", {"event": "x"}, type=5))[0] == 403
        assert (await alice.send("u/bob", options={"nosuch": True}))[0] == 414
        assert (await alice.send("u/bob", "x" * 5001))[0] == 414
        assert (await alice.send("g/nowhere"))[0] == 803
        assert (await alice.call("no.such"))[0] == 404
        assert (await alice.call("pull", conversation=5))[0] == 414
        assert (await alice.send("u/bob", client_id="a\x00b"))[0] == 414
        assert (await alice.call("friend.alias", user="bob", alias="\x00"))[0] == 414
        world.im.on_sends([(alice.session, 9, "u/bob", b"\xc1")])
        assert (await alice.answer(9))[0] == 400


async def test_bytes_that_are_no_message_harm_no_other_send_of_the_batch(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.said("u/bob", "first")
        deep = b"\x91" * 50_000 + b"\xc0"
        good = msgspec.msgpack.encode(["good", 0, {"text": "second"}, None, None])
        broken = [
            b"", b"\xc1", b"\x95", b"\x90", b"\x95\xa1\xff\x00\x80\xc0\xc0",
            b"\x95\xa1a\x64" + deep + b"\xc0\xc0",
            b"\x95\xa1a\x00\x81\xa4text\xa1x\x81\xa8antispam" + deep + b"\xc0",
            b"\x95\xa1a\x00\x80\xc0\xa1\xff",
        ]  # fmt: skip
        batch = [(alice.session, 100 + n, "u/bob", raw) for n, raw in enumerate([*broken, good])]
        world.im.on_sends(batch)
        codes = [(await alice.answer(100 + n))[0] for n in range(len(batch))]
        assert codes[-1] == 0
        assert set(codes[:-1]) <= {400, 414}
        assert [m[7]["text"] for m in bob.connection.messages] == ["first", "second"]
        for raw in (b"", b"\xc1", b"\x81\xa6cursor" + deep, b"\x81\xa1\xff\x00"):
            world.im.on_call(alice.session, 7, "sync", raw)
            assert (await alice.answer(7))[0] in (400, 414)


async def test_a_room_is_joined_heard_and_left(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await world.invoke("room.create", {"room": "lobby"})
        assert (await alice.send("r/lobby", "early"))[0] == 13001
        assert (await alice.ok("room.join", room="lobby"))["online"] == 1
        assert (await bob.ok("room.join", room="lobby"))["online"] == 2
        code, ack = await alice.send("r/lobby", "hi")
        assert (code, ack[1]) == (0, 0)
        assert [m[7] for m in bob.connection.room_messages()] == [{"text": "hi"}]
        assert [m[0] for m in alice.connection.room_messages()] == ["r/lobby"]
        await bob.ok("room.leave", room="lobby")
        await alice.send("r/lobby", "gone?")
        assert len(bob.connection.room_messages()) == 1


async def test_the_same_device_replaces_its_older_connection(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first = await world.login("alice")
        second = await world.login("alice")
        assert first.connection.closed == 4003
        assert second.connection.closed is None

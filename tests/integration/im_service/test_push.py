"""Who is pushed to, where, with which words and badge, and what a recall makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from control.push.apns import payload as apns_payload
from control.push.contents import about
from im_service.push.settings import PushLimits
from im_service.settings import ImSettings
from tests.support.im_ports import RecordingPush
from tests.support.im_world import Person, World, open_world

HOUR_MS = 3_600_000
FOREIGN = ImSettings(
    push=PushLimits(texts={"de": {"image": "[Bild]", "recalled": "{name} nahm etwas zurück"}})
)


async def away(world: World, user: str, device: str = "phone", **how: Any) -> Person:
    """Somebody whose device is pushed to, and is not there."""
    person = await world.login(user, device)
    await person.pushed_to(**how)
    await person.logout()
    return person


TEXTS: list[tuple[int, Any, dict[str, Any] | None, str]] = [
    (0, {"text": "hi"}, None, "Al: hi"),
    (0, {"text": "{name} {text}"}, None, "Al: {name} {text}"),
    (0, {"text": "hi"}, {"needPushNick": False}, "hi"),
    (0, {"text": "hi"}, {"pushContent": "look"}, "Al: look"),
    (1, {"url": "http://x/y"}, None, "Al: [image]"),
    (100, {"data": 1}, None, "[message]"),
    (100, {"data": 1}, {"needPushNick": True}, "Al: [message]"),
    (0, {"text": "hi"}, {"forcePush": {"all": True, "content": "NOW"}}, "NOW"),
]


async def test_the_push_text(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        await alice.ok("profile.set", nick="Al")
        await away(world, "bob")
        for type, body, options, text in TEXTS:
            await alice.said("u/bob", body, type=type, options=options)
            await world.settle()
            assert [(p.user, p.text) for p in push.pushes] == [("bob", text)]
            push.pushes.clear()


async def test_texts_are_in_the_language_of_the_device(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, FOREIGN, push=push) as world:
        alice = await world.login("alice")
        for device, locale in (("a", "zh-Hant-TW"), ("b", "de_AT"), ("c", "xx"), ("d", "")):
            await away(world, "bob", device, locale=locale)
        await alice.said("u/bob", {"url": "http://x/y"}, type=1)
        await world.settle()
        told = ["alice: [图片]", "alice: [Bild]", "alice: [image]", "alice: [image]"]
        assert [p.text for p in push.pushes] == told


async def test_only_the_absent_unmuted_and_forced_are_pushed(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        live, quiet = await world.login("live"), await world.login("quiet")
        await live.pushed_to()
        await quiet.pushed_to()
        await away(world, "gone")
        await world.login("tokenless")
        members = ["live", "quiet", "gone", "tokenless"]
        await alice.forced("group.create", group="team", members=members, name="The Team")
        await quiet.ok("conversation.set", conversation="g/team", mute=True)
        await quiet.logout()
        await alice.said("g/team", "one", options={"payload": '{"a": 1}', "badge": False})
        await world.settle()
        assert [(p.user, p.title, p.forced, p.badge, p.payload) for p in push.pushes] == [
            ("gone", "The Team", False, 0, '{"a": 1}')
        ]
        push.pushes.clear()
        await alice.said("g/team", "two", options={"forcePush": {"list": ["quiet"]}})
        await world.settle()
        assert [(p.user, p.forced, p.badge) for p in push.pushes] == [("gone", False, 1), ("quiet", True, 0)]
        assert live.connection.messages[-1][7] == {"text": "two"}


async def test_the_badge_is_what_is_unread_in_all_conversations_that_count(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice, carl = await world.login("alice"), await world.login("carl")
        bob = await world.login("bob")
        await bob.pushed_to()
        await alice.forced("group.create", group="loud", members=["bob"])
        await alice.forced("group.create", group="still", members=["bob"])
        await bob.ok("conversation.set", conversation="g/still", mute=True)
        await bob.logout()
        await alice.said("u/bob", "one")
        await alice.said("u/bob", "no number", options={"badge": False})
        await alice.said("g/still", "nobody hears")
        await alice.said("g/loud", "two")
        await carl.said("u/bob", "three")
        await world.settle()
        assert {p.text.partition(": ")[2]: p.badge for p in push.pushes}["three"] == 3
        back = await world.login("bob")
        await back.ok("read", conversation="s/alice:bob", seq=2)
        await back.logout()
        await carl.said("u/bob", "four")
        await world.settle()
        assert push.pushes[-1].badge == 3, "one was read, one came"


async def test_nothing_is_pushed_of_what_is_not_committed_and_of_chatrooms(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        bob = await world.login("bob")
        await bob.pushed_to()
        await alice.forced("room.create", room="hall")
        for person in (alice, bob):
            await person.ok("room.join", room="hall")
        await bob.logout()
        await alice.said("r/hall", "in the room")
        code, _ = await alice.send("u/bob", {"text": ""})
        assert code == 414
        await world.settle()
        assert push.pushes == []


@pytest.mark.parametrize("wanted", [False, True])
async def test_phones_of_whoever_sits_at_a_desk_are_pushed_to_if_wanted(tmp_path: Path, wanted: bool) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        await away(world, "bob")
        desk = await world.login("bob", "desk", 4)
        await desk.pushed_to()
        await desk.ok("push.set", desktop=wanted)
        await alice.said("u/bob", "one")
        await world.settle()
        assert [p.to.device for p in push.pushes] == (["phone"] if wanted else [])
        push.pushes.clear()
        await world.login("bob", "pad", 2)
        await alice.said("u/bob", "two")
        await world.settle()
        assert push.pushes == [], "something mobile is there and told"


async def test_a_session_that_lost_its_connection_is_not_there(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await bob.pushed_to()
        world.im.on_away(bob.session)
        await alice.said("u/bob", "one")
        await world.settle()
        world.im.on_back(bob.session)
        await alice.said("u/bob", "two")
        await world.settle()
        assert [p.text for p in push.pushes] == ["alice: one"]


async def test_quiet_hours_are_the_users_own_and_hold_for_everything(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await bob.pushed_to()
        # 1_800_000_000 is 2027-01-15 08:00 UTC: 16:00 in Shanghai
        world.clock.ms = 1_800_000_000_000
        await bob.ok("push.set", quiet_from=22 * 60, quiet_to=7 * 60, zone="Asia/Shanghai")
        for wrong in ({"zone": "Middle/Earth"}, {"quiet_from": 5, "zone": "UTC"}, {"quiet_to": 5}):
            code, _ = await bob.call("push.set", **wrong)
            assert code == 414, wrong
        kept = await world.invoke("push.get", {}, "bob")
        assert (kept["quiet_from"], kept["quiet_to"], kept["zone"]) == (22 * 60, 7 * 60, "Asia/Shanghai")
        await bob.logout()
        for hours, told in ((0, True), (6, False), (8, False), (9, True)):
            world.clock.advance(hours * HOUR_MS)
            await alice.said("u/bob", "hello", options={"forcePush": {"all": True}})
            await world.settle()
            assert bool(push.pushes) is told, hours
            push.pushes.clear()
        kept = await world.invoke("push.set", {"zone": ""}, "bob")
        assert (kept["quiet_from"], kept["zone"]) == (22 * 60, "")
        world.clock.advance(8 * HOUR_MS)
        await alice.said("u/bob", "hello")
        await world.settle()
        assert [p.text for p in push.pushes] == ["alice: hello"], "15:00 in UTC, which was quiet in Shanghai"


async def test_without_preview_a_push_says_neither_what_nor_who(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await bob.pushed_to()
        await bob.ok("push.set", preview=False)
        await bob.logout()
        options = {"payload": '{"secret": 1}', "forcePush": {"all": True, "content": "secret"}}
        _, seq = await alice.said("u/bob", "secret", options=options)
        await world.settle()
        await alice.ok("recall", conversation="s/alice:bob", seq=seq)
        await world.settle()
        assert [p.text for p in push.pushes] == ["You have a new message", "A message was taken back"]
        await alice.forced("group.create", group="family", members=["bob"], name="Family")
        await alice.said("g/family", "secret", options=options)
        await world.settle()
        for told in push.pushes:
            said = str(told[1:]) + (apns_payload(told) or b"").decode()
            assert not any(word in said for word in ("secret", "alice", "amily")), said
            assert about(told, True)["server_id"] == str(told.server_id) != "0"
        assert [p.badge for p in push.pushes] == [1, 0, 1]


async def test_a_recall_drops_what_waits_and_replaces_what_was_sent(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        await away(world, "bob")
        _, seq = await alice.said("u/bob", "oops")
        await world.settle()
        await alice.ok("recall", conversation="s/alice:bob", seq=seq)
        await world.settle()
        sent, later = push.pushes
        assert (sent.collapse, sent.badge, sent.recalls) == (later.collapse, 1, False)
        assert (later.text, later.badge, later.recalls) == ("alice took back a message", 0, True)

        push.pushes.clear()
        push.holding = True
        _, seq = await alice.said("u/bob", "oops again")
        await world.settle()
        assert push.held
        await alice.ok("recall", conversation="s/alice:bob", seq=seq)
        await world.settle()
        assert (push.held, push.pushes) == ([], []), "no vendor ever heard of it"

        push.holding = False
        _, seq = await alice.said("u/bob", "seen by bob")
        await world.settle()
        push.pushes.clear()
        await world.login("bob")
        await alice.ok("recall", conversation="s/alice:bob", seq=seq)
        await world.settle()
        assert push.pushes == [], "the client that is there hears it itself"


async def test_a_token_is_of_who_told_it_last_and_of_one_device(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice, bob, carl = [await world.login(user) for user in ("alice", "bob", "carl")]
        assert await bob.ok("push.register", vendor="apns", app="a", token="T1") == {"known": True}
        assert await bob.ok("push.register", vendor="nobody", token="T2") == {"known": False}
        assert await bob.ok("push.register", vendor="apns", app="a", token="T1", locale="de") == {
            "known": True
        }
        code, _ = await bob.call("push.register", vendor="apns", token="T1", device="another")
        assert code == 414
        await bob.logout()
        await alice.said("u/bob", "one")
        await world.settle()
        assert [(p.to.token, p.to.locale) for p in push.pushes] == [("T1", "de")]
        push.pushes.clear()
        # the phone changes hands: carl logs in on it, and that client tells the same token
        await carl.ok("push.register", vendor="apns", app="a", token="T1")
        await alice.said("u/bob", "for bob")
        await world.settle()
        assert push.pushes == []
        await carl.ok("push.register", vendor="apns", app="a", token="T1b")
        shown = await carl.ok("push.get")
        assert [(d["device"], d["token"]) for d in shown["devices"]] == [("phone", "T1b")]
        assert await carl.ok("push.unregister") == {}
        assert (await carl.ok("push.get"))["devices"] == []


async def test_tokens_of_one_user_are_bounded(tmp_path: Path) -> None:
    settings = ImSettings(push=PushLimits(tokens_per_user=3))
    async with open_world(tmp_path, settings, push=RecordingPush()) as world:
        for n in range(6):
            world.clock.advance(10)
            await away(world, "bob", f"phone{n}")
        held = (await world.invoke("push.get", {}, "bob"))["devices"]
        assert [line["device"] for line in held] == ["phone3", "phone4", "phone5"]


PUT_OUT: list[tuple[Any, dict[int, bool]]] = [
    ("kicked", {4004: False, 4005: False, 1000: True, 1001: True, 4003: True}),
    ("closed", {1000: False, 2001: True}),
    ("never", {4004: True}),
]


@pytest.mark.parametrize(("forget_at", "kept"), PUT_OUT)
async def test_a_device_that_was_put_out_is_not_pushed_to(
    tmp_path: Path, forget_at: Any, kept: dict[int, bool]
) -> None:
    settings = ImSettings(push=PushLimits(forget_at=forget_at))
    async with open_world(tmp_path, settings, push=RecordingPush()) as world:
        for code, stays in kept.items():
            bob = await world.login("bob", f"d{code}")
            await bob.pushed_to()
            await bob.logout(code)
            held = (await world.invoke("push.get", {}, "bob"))["devices"]
            assert (f"d{code}" in [line["device"] for line in held]) is stays, code


async def test_what_a_vendor_knows_no_more_is_forgotten_unless_it_was_told_anew(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        bob = await away(world, "bob")
        await alice.said("u/bob", "one")
        await world.settle()
        old = push.pushes[0].to
        world.clock.advance(1000)
        await world.invoke("push.register", {"vendor": "apns", "token": old.token, "device": "phone"}, "bob")
        world.im.push_tokens.gone(old)
        await world.settle()
        await alice.said("u/bob", "two")
        await world.settle()
        assert len(push.pushes) == 2, "it was told after the vendor was asked"
        world.im.push_tokens.gone(push.pushes[1].to)
        await world.settle()
        await alice.said("u/bob", "three")
        await world.settle()
        assert len(push.pushes) == 2
        assert bob.user == "bob"


async def test_the_server_tries_all_devices_of_a_user(tmp_path: Path) -> None:
    async with open_world(tmp_path, push=RecordingPush()) as world:
        assert await world.attempt("push.test", {"user": "bob"}) == 404
        await away(world, "bob", locale="zh")
        found = await world.invoke("push.test", {"user": "bob"})
        assert found["devices"] == [
            {"device": "phone", "vendor": "apns", "app": "", "outcome": "sent 这是一条测试"}
        ]


async def test_without_a_vendor_tokens_are_kept_and_nobody_is_told(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await away(world, "bob")
        await alice.said("u/bob", "one")
        await world.settle()
        found = await world.invoke("push.test", {"user": "bob"})
        assert "no push vendor" in found["devices"][0]["outcome"]


async def test_above_the_bound_pushes_are_dropped_and_counted(tmp_path: Path) -> None:
    push = RecordingPush()
    settings = ImSettings(push=PushLimits(waiting=16))
    async with open_world(tmp_path, settings, push=push) as world:
        alice = await world.login("alice")
        await away(world, "bob")
        payloads = [msgspec.msgpack.encode([f"c{n}", 0, {"text": str(n)}]) for n in range(100)]
        world.im.on_sends([(alice.session, 10_000 + n, "u/bob", raw) for n, raw in enumerate(payloads)])
        await world.im.messages.close()
        await world.settle()
        dropped = world.im.stats()["push_dropped_total"]
        assert len(push.pushes) + dropped == 100
        assert dropped

"""Relations, accounts, devices, presence."""

from __future__ import annotations

from pathlib import Path

from im_service.settings import ImSettings, LoginPolicy
from tests.support.im_world import open_world

ANDROID, IOS, WEB, WINDOWS = 1, 2, 3, 4


async def test_friends_are_added_asked_accepted_refused_and_named(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice, bob, carl = [await world.login(name) for name in ("alice", "bob", "carl")]
        desk = await world.login("alice", "desk", WINDOWS)
        assert (await alice.forced("friend.add", user="bob"))["changed"]
        assert bob.connection.notices("relation")[0]["user"] == "alice"
        assert desk.connection.notices("relation")[0]["friend"]
        asked = await alice.ok("friend.request", user="carl", text="hello")
        assert (await carl.ok("friend.requests"))["requests"][0]["text"] == "hello"
        assert (await bob.call("friend.decide", id=asked["id"], accept=True))[0] == 404
        await carl.ok("friend.decide", id=asked["id"], accept=False)
        assert alice.connection.notices("friend.decided")[0]["accepted"] is False
        world.clock.advance(ImSettings().ask_again_ms + 1)
        asked = await alice.ok("friend.request", user="carl")
        await carl.ok("friend.decide", id=asked["id"], accept=True)
        assert (await carl.call("friend.decide", id=asked["id"], accept=False))[0] == 409
        assert (await alice.ok("friend.request", user="carl"))["id"] == 0
        assert (await carl.ok("friend.requests"))["requests"] == []
        await alice.ok("friend.alias", user="bob", alias="Bobby", ext="x")
        rows = {r["user"]: r for r in (await alice.ok("relations"))["relations"]}
        assert (rows["bob"]["alias"], rows["bob"]["friend"], rows["carl"]["friend"]) == ("Bobby", True, True)
        cursor = (await alice.ok("relations"))["cursor"]
        assert (await alice.ok("relations", cursor=cursor))["relations"] == []
        await bob.ok("friend.remove", user="alice")
        changed = (await alice.ok("relations", cursor=cursor))["relations"]
        assert [(r["user"], r["friend"]) for r in changed] == [("bob", False)]


async def test_a_blacklisted_senders_message_stays_on_their_side(tmp_path: Path) -> None:
    for answer in (7101, 0):
        path = tmp_path / str(answer)
        path.mkdir()
        async with open_world(path, ImSettings(blacklist_answer=answer)) as world:
            alice, bob = await world.login("alice"), await world.login("bob")
            await alice.said("u/bob", "before")
            await bob.ok("relation.black", user="alice")
            code, payload = await alice.send("u/bob", "after")
            assert code == answer
            seq = payload[1]["seq"] if answer else payload[1]
            assert seq == 2
            assert [m[7]["text"] for m in bob.connection.messages] == ["before"]
            for person, count in ((alice, 2), (bob, 1)):
                shown = (await person.ok("history", conversation="s/alice:bob"))["messages"]
                assert len(shown) == count
            assert (await bob.ok("unread"))["total"] == 1
            assert (await alice.call("friend.add", user="bob"))[0] == 403
            await bob.ok("relation.black", user="alice", on=False)
            assert (await alice.send("u/bob", "again"))[0] == 0


async def test_friend_only_sending_by_setting_and_by_message(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        assert (await alice.send("u/bob", options={"checkFriend": True}))[0] == 403
        await alice.forced("friend.add", user="bob")
        assert (await alice.send("u/bob", options={"checkFriend": True}))[0] == 0
    other = tmp_path / "strict"
    other.mkdir()
    async with open_world(other, ImSettings(friend_only=True)) as world:
        alice = await world.login("alice")
        assert (await alice.send("u/bob"))[0] == 403


async def test_accounts_are_muted_by_module_and_disabled(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await alice.ok("group.create", group="team")
        await world.invoke("room.create", {"room": "hall"})
        await alice.ok("room.join", room="hall")
        for module, target in (("single_s", "u/bob"), ("group_s", "g/team"), ("room_s", "r/hall")):
            await world.invoke("account.mute", {"user": "alice", module: 60})
            assert (await alice.send(target))[0] == 423
        world.clock.advance(60_001)
        for target in ("u/bob", "g/team", "r/hall"):
            assert (await alice.send(target))[0] == 0
        decided = await world.invoke("account.get", {"user": "alice"})
        assert decided["known"]
        assert decided["mute_single_ms"] == decided["mute_group_ms"] == decided["mute_room_ms"]
        await world.invoke("account.disable", {"user": "alice", "seconds": 60})
        assert alice.connection.closed == 4005
        assert (await alice.send("u/bob"))[0] == 422
        assert (await alice.call("account.mute", user="bob", single_s=1))[0] == 404


async def test_login_policies(tmp_path: Path) -> None:
    apart = LoginPolicy(mode="exclusive", exclusive=(("mobile", "web"),))
    cases = [
        (LoginPolicy(mode="one"), {"phone": 4004, "tablet": 4004, "page": 4004}),
        (LoginPolicy(mode="one_per_class"), {"phone": 4004, "tablet": None, "page": 4004}),
        (LoginPolicy(max_devices=2), {"phone": 4004, "tablet": 4004, "page": None}),
        (apart, {"phone": 4004, "tablet": 4004, "page": None}),
    ]
    for number, (policy, expected) in enumerate(cases):
        path = tmp_path / str(number)
        path.mkdir()
        async with open_world(path, ImSettings(login_policy=policy)) as world:
            devices = {}
            for device, platform in (("phone", ANDROID), ("tablet", IOS), ("page", WEB), ("desk", WINDOWS)):
                devices[device] = await world.login("alice", device, platform)
                world.clock.advance(1000)
            assert {d: p.connection.closed for d, p in devices.items() if d != "desk"} == expected, policy
            assert devices["desk"].connection.closed is None


async def test_a_kick_says_why_and_reaches_the_named_devices(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        phone = await world.login("alice", "phone", ANDROID)
        desk = await world.login("alice", "desk", WINDOWS)
        assert (await phone.call("kick", user="bob", devices=["x"]))[0] == 403
        await phone.ok("kick", devices=["desk"], reason=7, ext="bye")
        assert desk.connection.closed == 4004
        (told,) = desk.connection.notices("kicked")
        assert (told["device"], told["reason"], told["ext"]) == ("desk", 7, "bye")
        assert phone.connection.closed is None
        await world.invoke("kick", {"user": "alice"})
        assert phone.connection.closed == 4004


async def test_presence_has_a_snapshot_changes_an_end_and_a_limit(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(presence_subscriptions=2)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        states = (await alice.ok("presence.subscribe", users=["bob", "carl"], seconds=60))["states"]
        assert [(s["user"], s["online"]) for s in states] == [("bob", True), ("carl", False)]
        carl = await world.login("carl")
        await bob.logout()
        seen = [(b[0], b[1]) for k, b in alice.connection.events if k == 4]
        assert seen == [("carl", True), ("bob", False)]
        await alice.ok("presence.subscribe", users=["dora"])
        bob = await world.login("bob")
        assert len([k for k, _ in alice.connection.events if k == 4]) == 2
        world.clock.advance(61_000)
        await carl.logout()
        assert len([k for k, _ in alice.connection.events if k == 4]) == 2
        users = [f"u{n}" for n in range(101)]
        assert (await alice.call("presence.subscribe", users=users))[0] == 414


async def test_a_subscription_that_is_given_up_tells_no_more(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await alice.ok("presence.subscribe", users=["bob", "carl"])
        await alice.ok("presence.unsubscribe", users=["bob", "nobody"])
        for name in ("bob", "carl"):
            await world.login(name)
        assert [body[:2] for kind, body in alice.connection.events if kind == 4] == [["carl", True]]


async def test_profiles_are_hosted(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        desk = await world.login("alice", "desk", WINDOWS)
        await alice.ok("profile.set", nick="Al", sign="hi")
        await alice.ok("profile.set", sign="ho")
        profiles = (await desk.ok("profile.get", users=["alice", "nobody"]))["profiles"]
        assert [(p["nick"], p["sign"]) for p in profiles] == [("Al", "ho")]
        assert desk.connection.notices("profile")[-1]["sign"] == "ho"


async def test_server_sends_batches_and_broadcasts(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        bob = await world.login("bob")
        args = {"sender": "shop", "target": "u/bob", "body": {"event": "order"}, "type": 5}
        assert (await world.invoke("message.send", args))["seq"] == 1
        args = {"sender": "shop", "targets": ["u/bob", "g/none", "u/carl"], "body": {"text": "sale"}}
        results = (await world.invoke("message.batch", args))["results"]
        assert [r["code"] for r in results] == [0, 803, 0]
        assert [m[7] for m in bob.connection.messages] == [{"event": "order"}, {"text": "sale"}]
        await world.invoke("broadcast", {"body": {"data": 1}, "lifetime_s": 60, "platforms": [ANDROID]})
        assert bob.connection.notices("broadcast")[0]["body"] == {"data": 1}
        late, desk = await world.login("late"), await world.login("late", "desk", WINDOWS)
        assert len((await late.ok("broadcasts"))["broadcasts"]) == 1
        assert (await desk.ok("broadcasts"))["broadcasts"] == []
        world.clock.advance(61_000)
        assert (await late.ok("broadcasts"))["broadcasts"] == []


async def test_presence_subscriptions_outlive_a_blink_and_no_more(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(presence_grace_ms=10_000)) as world:
        alice, bob = await world.login("alice"), await world.login("bob")
        await alice.ok("presence.subscribe", users=["bob"])
        await alice.logout()
        world.clock.advance(9_000)
        alice = await world.login("alice")
        await bob.logout()
        assert [body[:2] for kind, body in alice.connection.events if kind == 4] == [["bob", False]]
        await alice.logout()
        world.clock.advance(11_000)
        alice = await world.login("alice")
        bob = await world.login("bob")
        assert not [body for kind, body in alice.connection.events if kind == 4]

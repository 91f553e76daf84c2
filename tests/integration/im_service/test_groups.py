"""Groups: coming and going, roles, mutes, limits, and what others hear of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from im_service.calls import Caller
from im_service.groups.context import GroupAndCaller, GroupContext
from im_service.settings import ImSettings
from tests.support.im_world import Person, World, open_world
from tests.support.store_kit import count


async def make_group(world: World, *members: str, **settings: object) -> tuple[Person, list[Person]]:
    owner = await world.login("olga")
    people = [await world.login(name) for name in members]
    await owner.forced("group.create", group="team", members=list(members), **settings)
    return owner, people


def events(person: Person) -> list[str]:
    return [m[7]["event"] for m in person.connection.messages if m[6] == 5]


async def test_a_group_message_is_one_row_and_reaches_every_member_once(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_group(world, "bob", "carl")
        before = await count(world.store)
        _, seq = await bob.said("g/team", "hello")
        assert await count(world.store) == before + 1
        for person in (owner, carl):
            assert [m[7] for m in person.connection.messages if m[6] == 0] == [{"text": "hello"}]
        assert [m for m in bob.connection.messages if m[6] == 0] == []
        assert seq == 2


async def test_a_message_to_two_thousand_members_is_one_write(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(group_members=5000)) as world:
        owner = await world.login("olga")
        await owner.ok("group.create", group="crowd")
        for start in range(0, 2000, 500):
            users = [f"m{n}" for n in range(start, start + 500)]
            await world.invoke("group.invite", {"group": "crowd", "users": users})
        before = await count(world.store)
        await owner.said("g/crowd", "one row")
        after = await count(world.store)
        assert after == before + 1
        assert (await owner.ok("group.info", group="crowd"))["members"] == 2001


async def test_joining_follows_the_groups_mode(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, _ = await make_group(world, join="approval")
        dora = await world.login("dora")
        asked = await dora.ok("group.join", group="team", text="let me in")
        assert not asked["joined"]
        assert owner.connection.notices("group.applied")[0]["text"] == "let me in"
        assert (await dora.call("group.decide", group="team", id=asked["id"], accept=True))[0] == 403
        await owner.ok("group.decide", group="team", id=asked["id"], accept=True)
        assert (await owner.call("group.decide", group="team", id=asked["id"], accept=True))[0] == 409
        assert (await dora.send("g/team"))[0] == 0
        eve = await world.login("eve")
        await owner.ok("group.update", group="team", join="closed")
        assert (await eve.call("group.join", group="team"))[0] == 403
        await owner.ok("group.update", group="team", join="free")
        assert (await eve.ok("group.join", group="team"))["joined"]


@contextmanager
def after_the_look_of(user: str, act: Callable[[], Awaitable[object]]) -> Iterator[list[str]]:
    """Once, between what a call of this user read of the group and what it does, `act` happens. -> [user]
    when it has."""
    place = GroupContext.place
    done: list[str] = []

    async def looked(self: GroupContext, caller: Caller, group: str) -> GroupAndCaller:
        found = await place(self, caller, group)
        if caller.user == user and not done:
            done.append(user)
            await act()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GroupContext, "place", looked)
        yield done


async def test_who_was_let_in_while_they_asked_has_no_application_open(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, _ = await make_group(world, join="approval")
        dora = await world.login("dora")
        asked = await dora.ok("group.join", group="team")
        answer = partial(owner.ok, "group.decide", group="team", id=asked["id"], accept=True)
        with after_the_look_of("dora", answer) as answered:
            assert await dora.ok("group.join", group="team") == {"joined": True, "id": 0}
        assert answered
        assert (await owner.ok("group.requests", group="team"))["requests"] == []


async def test_a_request_refused_while_it_is_accepted_lets_nobody_in(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_group(world, "bob", join="approval")
        await owner.ok("group.role", group="team", users=["bob"], role="manager")
        dora = await world.login("dora")
        asked = await dora.ok("group.join", group="team")
        decide = {"group": "team", "id": asked["id"]}
        refuse = partial(bob.ok, "group.decide", **decide, accept=False)
        with after_the_look_of("olga", refuse) as refused:
            assert (await owner.call("group.decide", **decide, accept=True))[0] == 409
        assert refused
        assert (await dora.send("g/team"))[0] == 802
        assert [told["state"] for told in dora.connection.notices("group.decided")] == [2]


async def test_an_invitation_waits_for_the_invited_when_the_group_asks_first(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_group(world, "bob", agree=True)
        dora = await world.login("dora")
        assert (await bob.call("group.invite", group="team", users=["dora"]))[0] == 403
        assert (await owner.ok("group.invite", group="team", users=["dora", "bob"]))["invited"] == ["dora"]
        invited = dora.connection.notices("group.invited")[0]
        assert (await owner.call("group.decide", group="team", id=invited["id"], accept=True))[0] == 403
        assert (await dora.ok("group.requests"))["requests"][0]["id"] == invited["id"]
        await dora.ok("group.decide", group="team", id=invited["id"], accept=True)
        assert [m["user"] for m in (await dora.ok("group.members", group="team"))["members"]] == [
            "bob", "dora", "olga",
        ]  # fmt: skip


async def test_the_member_limit_holds(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, _ = await make_group(world, "bob", limit=2, join="free")
        assert await world.attempt("group.invite", {"group": "team", "users": ["dora"]}) == 801
        dora = await world.login("dora")
        assert (await dora.call("group.join", group="team"))[0] == 801
        assert (await owner.call("group.create", group="big", limit=5001))[0] == 414


async def test_outsiders_may_not_send_read_or_list(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        _, (bob,) = await make_group(world, "bob")
        await bob.said("g/team", "secret")
        eve = await world.login("eve")
        assert (await eve.send("g/team"))[0] == 802
        assert (await eve.call("pull", conversation="g/team"))[0] == 802
        assert (await eve.call("get", conversation="g/team", seqs=[1]))[0] == 802
        assert (await eve.call("group.members", group="team"))[0] == 802
        assert (await eve.call("recall", conversation="g/team", seq=2))[0] == 802


async def test_a_removed_member_hears_and_sends_no_more(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_group(world, "bob", "carl")
        await bob.said("g/team", "still here")
        assert (await bob.call("group.kick", group="team", users=["carl"]))[0] == 403
        assert (await owner.ok("group.kick", group="team", users=["bob"]))["removed"] == ["bob"]
        assert (await bob.send("g/team"))[0] == 802
        count = len(bob.connection.messages)
        await carl.said("g/team", "after")
        assert len(bob.connection.messages) == count
        assert events(bob)[-1] == "group.kick"
        assert events(carl)[-1] == "group.kick"


async def test_owner_managers_and_members_rank(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl, dora) = await make_group(world, "bob", "carl", "dora")
        assert (await bob.call("group.role", group="team", users=["carl"], role="manager"))[0] == 403
        await owner.ok("group.role", group="team", users=["bob", "carl"], role="manager")
        assert (await bob.call("group.kick", group="team", users=["carl"]))[0] == 403
        assert (await bob.call("group.mute", group="team", user="olga"))[0] == 403
        await bob.ok("group.mute", group="team", user="dora", seconds=60)
        assert (await dora.send("g/team"))[0] == 423
        world.clock.advance(60_001)
        assert (await dora.send("g/team"))[0] == 0
        assert (await owner.call("group.leave", group="team"))[0] == 403
        await owner.ok("group.transfer", group="team", user="bob", leave=True)
        assert (await owner.send("g/team"))[0] == 802
        info = await bob.ok("group.info", group="team")
        assert (info["owner"], info["members"]) == ("bob", 3)
        assert (await carl.call("group.dismiss", group="team"))[0] == 403


async def test_roles_of_several_members_change_together_with_one_notice(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_group(world, "bob", "carl")
        rev = (await owner.ok("group.info", group="team"))["rev"]
        await owner.ok("group.role", group="team", users=["carl", "bob", "carl"], role="manager")
        assert (await owner.ok("group.info", group="team"))["rev"] == rev + 1
        (told,) = [m[7] for m in bob.connection.messages if m[7].get("event") == "group.role"]
        assert told == {"event": "group.role", "by": "olga", "users": ["carl", "bob"], "role": "manager"}
        for users, code in ((["bob", "nobody"], 802), (["bob", "olga"], 403)):
            assert (await owner.call("group.role", group="team", users=users, role="member"))[0] == code
        roles = {m["user"]: m["role"] for m in (await owner.ok("group.members", group="team"))["members"]}
        assert roles == {"olga": "owner", "bob": "manager", "carl": "manager"}
        assert events(carl).count("group.role") == 1


async def test_invitations_that_ask_are_opened_together(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_group(world, "bob", agree=True, invite="all")
        dora, eve = await world.login("dora"), await world.login("eve")
        assert (await bob.call("group.invite", group="team", users=["dora", "not an id"]))[0] == 414
        assert (await owner.ok("group.requests", group="team"))["requests"] == []
        found = await bob.ok("group.invite", group="team", users=["eve", "olga", "dora"], text="come")
        assert found == {"added": [], "invited": ["eve", "dora"], "refused": []}
        for person in (dora, eve):
            (told,) = person.connection.notices("group.invited")
            assert (told["user"], told["by"], told["text"]) == (person.user, "bob", "come")
        opened = (await owner.ok("group.requests", group="team"))["requests"]
        assert [(r["user"], r["kind"]) for r in opened] == [("dora", "invite"), ("eve", "invite")]


async def test_names_in_a_group_are_each_members_own_and_the_managers(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_group(world, "bob", "carl")
        await bob.ok("group.nick", group="team", nick="Bee")
        assert (await bob.call("group.nick", group="team", user="carl", nick="Sea"))[0] == 403
        await owner.ok("group.nick", group="team", user="carl", nick="Sea")
        names = {m["user"]: m["nick"] for m in (await carl.ok("group.members", group="team"))["members"]}
        assert names == {"olga": "", "bob": "Bee", "carl": "Sea"}
        told = [m[7] for m in carl.connection.messages if m[7].get("event") == "group.nick"]
        assert [(body["user"], body["nick"]) for body in told] == [("bob", "Bee"), ("carl", "Sea")]
        await owner.forced("group.create", group="second", members=["bob"])
        assert [g["group"] for g in (await bob.ok("group.mine"))["groups"]] == ["second", "team"]
        await bob.ok("group.leave", group="second")
        assert [g["group"] for g in (await bob.ok("group.mine"))["groups"]] == ["team"]


async def test_a_muted_group_hears_owner_and_managers_only(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob, carl) = await make_group(world, "bob", "carl")
        await owner.ok("group.role", group="team", users=["bob"], role="manager")
        await bob.said("g/team")
        await carl.said("g/team")
        await bob.ok("group.mute_all", group="team", on=True)
        assert (await carl.send("g/team"))[0] == 423
        assert (await bob.send("g/team"))[0] == 0
        await owner.ok("group.mute_all", group="team", on=False)
        assert (await carl.send("g/team"))[0] == 0


async def test_a_dismissed_group_is_gone_and_its_history_stays(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_group(world, "bob")
        await bob.said("g/team", "remember me")
        await owner.ok("group.dismiss", group="team")
        assert (await bob.send("g/team"))[0] == 803
        assert events(bob)[-1] == "group.dismiss"
        texts = [m[7].get("text") for m in (await bob.ok("history", conversation="g/team"))["messages"]]
        assert "remember me" in texts
        assert (await owner.call("group.create", group="team"))[0] == 409


async def test_newcomers_see_what_was_said_only_if_the_group_says_so(tmp_path: Path) -> None:
    for history, expected in ((True, True), (False, False)):
        path = tmp_path / str(history)
        path.mkdir()
        async with open_world(path) as world:
            _, (bob,) = await make_group(world, "bob", history=history, join="free")
            await bob.said("g/team", "before")
            dora = await world.login("dora")
            await dora.ok("group.join", group="team")
            texts = [m[7].get("text") for m in (await dora.ok("history", conversation="g/team"))["messages"]]
            assert ("before" in texts) is expected
            assert (await dora.ok("unread"))["total"] == 0


async def test_a_session_that_logs_in_hears_its_groups(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        owner, (bob,) = await make_group(world, "bob")
        desk = await world.login("bob", "desk", 4)
        await owner.said("g/team", "all devices")
        assert [m[7] for m in desk.connection.messages] == [{"text": "all devices"}]
        assert [m[7] for m in bob.connection.messages if m[6] == 0] == [{"text": "all devices"}]

"""Accounts as the application's server keeps them: made, imported, listed, disabled, deleted, taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frame.constants import CloseCode, RequestCode
from im_service.settings import EventCopy, ImSettings
from tests.support.im_world import World, open_world

SETTINGS = ImSettings(copy=EventCopy(record=("account", "session")), group_consent="free")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, SETTINGS) as made:
        yield made


async def everybody(world: World, **asked: object) -> list[str]:
    found: list[str] = []
    page = {"after": 0, "more": True}
    while page["more"]:
        page = await world.invoke("account.list", {"after": page["after"], "limit": 2, **asked})
        found += [account["user"] for account in page["accounts"]]
    return found


async def test_an_account_is_made_once_with_what_others_see_of_it(world: World) -> None:
    made = await world.invoke("account.create", {"user": "ann", "nick": "Ann", "ext": "x"})
    assert (made["state"], made["created_ms"]) == ("live", world.clock.ms)
    assert await world.attempt("account.create", {"user": "ann", "nick": "Other"}) == RequestCode.CONFLICT
    (profile,) = (await world.invoke("profile.get", {"users": ["ann"]}))["profiles"]
    assert (profile["nick"], profile["ext"]) == ("Ann", "x")
    for bad in ({"user": "an ann"}, {"user": "@ann"}, {"user": "b", "nick": "x" * 65}, {"user": "b", "x": 1}):
        assert await world.attempt("account.create", bad) == RequestCode.INVALID, bad


async def test_whom_others_named_is_made_later_and_keeps_what_they_are_muted_for(world: World) -> None:
    await world.invoke("account.mute", {"user": "ann", "single_s": -1})
    assert (await world.invoke("account.get", {"user": "ann"}))["created_ms"] == 0
    made = await world.invoke("account.create", {"user": "ann"})
    assert made["created_ms"] == world.clock.ms
    assert made["mute_single_ms"] > world.clock.ms


async def test_an_import_answers_each_and_may_be_given_again(world: World) -> None:
    await world.invoke("account.create", {"user": "ann", "nick": "Ann"})
    await world.invoke("account.create", {"user": "gone"})
    await world.invoke("account.delete", {"user": "gone"})
    given = [{"user": f"u{n}", "nick": f"N{n}"} for n in range(150)]
    given += [{"user": "ann", "nick": "No"}, {"user": "a b"}, {"user": "u3"}, {"user": "gone"}]
    given += [{"user": "nul", "nick": "a\0b"}, {"user": "nul", "ext": "\0"}]
    first = await world.invoke("account.import", {"accounts": given})
    assert [line["outcome"] for line in first["results"]] == ["created"] * 150 + [
        "exists", "invalid", "exists", "closed", "invalid", "invalid"
    ]  # fmt: skip
    again = await world.invoke("account.import", {"accounts": given})
    assert (again["created"], {line["outcome"] for line in again["results"]}) == (
        0, {"exists", "invalid", "closed"}
    )  # fmt: skip
    profiles = (await world.invoke("profile.get", {"users": ["u7", "ann"]}))["profiles"]
    assert [profile["nick"] for profile in profiles] == ["Ann", "N7"]
    kinds = [(event.kind, event.subject) for event in await world.copies() if event.kind == "account.create"]
    assert len(kinds) == len(set(kinds)) == 152, "an event for each that was made, and for no other"
    too_many = {"accounts": [{"user": f"w{n}"} for n in range(201)]}
    assert await world.attempt("account.import", too_many) == RequestCode.INVALID


async def test_accounts_are_listed_by_state_and_by_when_they_were_made(world: World) -> None:
    await world.invoke("account.import", {"accounts": [{"user": f"u{n}"} for n in range(5)]})
    await (await world.login("named")).said("u/heard-of")
    world.clock.advance(1000)
    await world.invoke("account.import", {"accounts": [{"user": f"w{n}"} for n in range(3)]})
    await world.invoke("account.disable", {"user": "u1"})
    await world.invoke("account.disable", {"user": "u2", "seconds": 5})
    await world.invoke("account.delete", {"user": "w2"})
    assert await everybody(world) == [
        "u0", "u1", "u2", "u3", "u4", "named", "heard-of", "w0", "w1", "w2"
    ]  # fmt: skip
    assert await everybody(world, created_since_ms=world.clock.ms) == ["w0", "w1", "w2"]
    assert await everybody(world, state="disabled") == ["u1", "u2", "w2"]
    assert await everybody(world, state="deleted") == ["w2"]
    world.clock.advance(5000)
    assert await everybody(world, state="disabled") == ["u1", "w2"], "an end that passed disables nobody"


async def test_what_is_said_to_a_disabled_account_waits_for_it(world: World) -> None:
    ann, bob = await world.login("ann"), await world.login("bob")
    await world.invoke("account.disable", {"user": "bob"})
    assert bob.connection.closed == CloseCode.ACCOUNT_DISABLED
    await ann.said("u/bob", "later")
    assert (await bob.call("sync", cursor=0))[0] == RequestCode.ACCOUNT_DISABLED
    await world.invoke("account.disable", {"user": "bob", "seconds": 0})
    back = await world.login("bob", "other")
    assert [m[7]["text"] for m in (await back.catch_up())["s/ann:bob"]] == ["later"]


async def test_nothing_is_done_with_or_in_the_name_of_a_deleted_account(world: World) -> None:
    ann, bob = await world.login("ann"), await world.login("bob")
    await ann.ok("group.create", group="team", members=["bob"])
    await bob.said("u/ann", "before")
    deleted = await world.invoke("account.delete", {"user": "bob"})
    assert deleted["state"] == "deleted"
    assert bob.connection.closed == CloseCode.ACCOUNT_DISABLED
    assert (await bob.send("u/ann"))[0] == RequestCode.ACCOUNT_DISABLED
    assert (await ann.send("u/bob"))[0] == RequestCode.NOT_FOUND, "a cached way knows it, too"
    for name, args in (
        ("friend.add", {"user": "bob"}), ("group.create", {"members": ["bob"]}),
        ("relation.mute", {"user": "bob"}), ("group.invite", {"group": "team", "users": ["bob"]}),
    ):  # fmt: skip
        assert (await ann.call(name, **args))[0] == RequestCode.NOT_FOUND, name
    send = {"sender": "bob", "target": "u/ann", "body": {"text": "x"}}
    assert await world.attempt("message.send", send) == RequestCode.ACCOUNT_DISABLED
    reverse = {"sender": "ann", "target": "u/bob", "body": {"text": "x"}}
    assert await world.attempt("message.send", reverse) == RequestCode.NOT_FOUND
    assert await world.attempt("profile.set", {"nick": "B"}, "bob") == RequestCode.ACCOUNT_DISABLED
    assert await world.attempt("account.disable", {"user": "bob", "seconds": 0}) == RequestCode.CONFLICT
    before = len(await world.store.devices("bob"))
    refused = await world.login("bob", "new-device")
    assert refused.connection.closed == CloseCode.ACCOUNT_DISABLED
    assert len(await world.store.devices("bob")) == before, "nothing is kept of a device that is refused"
    assert await world.attempt("account.create", {"user": "bob"}) == RequestCode.CONFLICT
    assert await world.attempt("account.delete", {"user": "nobody"}) == RequestCode.NOT_FOUND
    await world.invoke("account.delete", {"user": "bob"})
    await world.invoke("account.restore", {"user": "bob"})
    await world.invoke("account.restore", {"user": "bob"})
    back = await world.login("bob", "new-device")
    await ann.said("u/bob", "again")
    assert [m[7]["text"] for m in (await back.catch_up())["s/ann:bob"]] == ["before", "again"]
    told = [event.kind for event in await world.copies() if event.kind.startswith("account.")]
    assert told == ["account.delete", "account.restore"], "each change once"


async def test_a_deletion_that_is_taken_back_lifts_no_ban(world: World) -> None:
    for user, seconds in (("ever", -1), ("days", 86400), ("free", 0)):
        before = await world.invoke("account.disable", {"user": user, "seconds": seconds})
        for _ in range(2):
            await world.invoke("account.delete", {"user": user})
        for _ in range(2):
            back = await world.invoke("account.restore", {"user": user})
        assert (back["state"], back["disabled_until_ms"]) == ("live", before["disabled_until_ms"]), user
    assert (await world.login("ever")).connection.closed == CloseCode.ACCOUNT_DISABLED
    assert (await world.login("free")).connection.closed is None

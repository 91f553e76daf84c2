"""Lists of words judge every text that others see: messages, edits, push texts, names and reactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from im_service.moderation.judge import MOST_SUSPECTS, SUSPECT_MS, Moderation
from im_service.moderation.lists import WordList
from im_service.moderation.matcher import Matcher
from im_service.sending.hooks import Verdict
from im_service.settings import ImSettings
from tests.integration.im_service.test_words import CALLS, team
from tests.support.im_ports import ScriptedHook
from tests.support.im_world import TestClock, World, open_world

ENGINES = ("sqlite",)

LISTS = {
    "ban": WordList(action="reject", words=["forbidden"], text="not here"),
    "mask": WordList(action="mask", words=["words", "rude"]),
    "watch": WordList(action="note", words=["maybe"]),
    "sound": WordList(action="reject", words=["发票"], pinyin=True),
    "wait": WordList(action="hold", words=["dubious"], hold_s=5, hold_default="release"),
    "rooms": WordList(action="reject", words=["roomy"], kinds=["r"]),
}


def judge(lists: dict[str, WordList] = LISTS) -> Moderation:
    moderation = Moderation(TestClock())
    moderation.use(Matcher(lists))
    return moderation


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, ImSettings(rooms_by_clients=True), moderation=judge()) as made:
        yield made


async def test_a_message_is_rejected_masked_or_only_noted(world: World) -> None:
    alice, bob = await world.login("alice"), await world.login("bob")
    code, payload = await alice.send("u/bob", "for bid-den things")
    assert (code, payload[0], payload[1]) == (403, "not here", {"hook": True})
    assert (await alice.said("u/bob", "a rude word"))[1] == 1, "a rejected message takes no number"
    await alice.said("u/bob", "maybe")
    assert [m[7]["text"] for m in bob.connection.messages] == ["a **** word", "maybe"]
    stored = (await bob.ok("history", conversation="s/alice:bob"))["messages"]
    assert sorted(m[7]["text"] for m in stored) == ["a **** word", "maybe"], "nobody has it unmasked"


async def test_a_list_holds_messages_and_rejects_what_cannot_wait(world: World) -> None:
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.said("u/bob", "rude and dubious")
    assert not bob.connection.messages
    (item,) = (await world.invoke("moderation.queue", {}))["items"]
    assert (item["rule"], item["message"][7]["text"]) == ("wait", "**** and dubious")
    assert (await alice.send("u/bob", "dubious and forbidden"))[0] == 403, "the highest action holds"
    assert (await alice.call("profile.set", nick="dubious"))[0] == 403
    _, seq = await alice.said("u/bob", "fine")
    assert (await alice.call("edit", conversation="s/alice:bob", seq=seq, body={"text": "dubious"}))[0] == 403
    world.clock.advance(5000)
    await world.im.decisions.lapse()
    assert "**** and dubious" in [m[7].get("text") for m in bob.connection.messages]


async def test_a_repeat_of_what_a_list_rejects_meanwhile_is_answered_as_the_first_time(world: World) -> None:
    alice = await world.login("alice")
    first = await alice.send("u/bob", "harmless", client_id="once")
    (moderation,) = world.im.messages._judge.instant
    assert isinstance(moderation, Moderation)
    moderation.use(Matcher({"new": WordList(action="reject", words=["harmless"])}))
    assert await alice.send("u/bob", "harmless", client_id="once") == first
    assert (await alice.send("u/bob", "harmless", client_id="new"))[0] == 403


async def test_groups_rooms_and_lists_for_one_kind(world: World) -> None:
    alice = await team(world)
    assert (await alice.send("r/hall", "forbidden"))[0] == 403
    assert (await alice.send("g/team", "forbidden"))[0] == 403
    assert (await alice.send("r/hall", "roomy"))[0] == 403
    assert (await alice.send("g/team", "roomy"))[0] == 0


@pytest.mark.parametrize(
    ("body", "type", "after"),
    [
        ({"text": "rude", "note": "so rude"}, 0, {"text": "****", "note": "so ****"}),
        ({"url": "http://x/rude", "name": "rude.png"}, 1, {"url": "http://x/rude", "name": "****.png"}),
        (
            {"sub_type": 1, "data": {"a": ["rude", 1, None, {"b": "R.U.D.E"}]}},
            100,
            {"sub_type": 1, "data": {"a": ["****", 1, None, {"b": "*.*.*.*"}]}},
        ),
    ],
)
async def test_every_text_of_a_body_is_read(world: World, body: Any, type: int, after: Any) -> None:
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.said("u/bob", body, type=type)
    assert [m[7] for m in bob.connection.messages] == [after]


async def test_ext_is_masked_and_what_cannot_be_masked_is_rejected(world: World) -> None:
    alice, bob = await world.login("alice"), await world.login("bob")
    await alice.said("u/bob", "hi", ext='{"sign": "rude"}')
    assert '{"sign": "****"}' in bob.connection.messages[-1]
    assert (await alice.send("u/bob", {"sub_type": 1, "data": {"rude": 1}}, type=100))[0] == 403, "a key"
    assert (await alice.send("u/bob", "hi", options={"pushContent": "rude"}))[0] == 403, "a push text"
    assert (await alice.send("u/bob", "hi", options={"payload": '{"a": "rude"}'}))[0] == 403
    assert (await alice.send("u/bob", "hi", options={"pushContent": "nice"}))[0] == 0


async def test_an_edit_is_judged_as_the_send_it_replaces(world: World) -> None:
    alice, bob = await world.login("alice"), await world.login("bob")
    _, seq = await alice.said("u/bob", "hello")
    edit = {"conversation": "s/alice:bob", "seq": seq}
    assert (await alice.call("edit", **edit, body={"text": "forbidden"}))[0] == 403
    await alice.ok("edit", **edit, body={"text": "rude"})
    (found,) = (await bob.ok("history", conversation="s/alice:bob"))["messages"]
    assert found[7] == {"text": "****"}


MASKED = {
    "recall", "group.create", "group.update", "group.nick", "group.kick", "group.invite", "group.join",
    "friend.add", "friend.request", "profile.set", "room.create", "room.update", "room.kick", "room.recall",
    "react",
}  # fmt: skip
"""Calls of CALLS whose word stands in a text, not in a name that has to stay as it is."""


@pytest.mark.parametrize("name", CALLS)
async def test_what_is_said_by_calls_is_judged_too(world: World, name: str) -> None:
    alice = await team(world)
    code, said = await alice.call(name, **CALLS[name])
    assert (code in (0, 404)) is (name in MASKED), (code, said)
    banned = {member: _banned(value) for member, value in CALLS[name].items()}
    code, said = await alice.call(name, **banned)
    assert (code, said[0]) == (403, "not here")


def _banned(value: Any) -> Any:
    if isinstance(value, dict):
        return {_banned(key): _banned(below) for key, below in value.items()}
    return "forbidden" if value == "words" else value


async def test_a_masked_name_is_what_others_see(world: World) -> None:
    alice = await team(world)
    await alice.ok("group.update", group="team", name="rude people", announcement="forbid no one")
    shown = await alice.ok("group.info", group="team")
    assert "**** people" in str(shown)
    assert "rude" not in str(shown)


async def test_the_application_s_server_is_not_judged(world: World) -> None:
    await world.login("alice")
    await world.invoke("group.create", {"group": "words", "owner": "alice", "name": "forbidden"})
    assert "forbidden" in str(await world.invoke("group.info", {"group": "words"}))


async def test_moderation_comes_before_a_slow_callback(tmp_path: Path) -> None:
    callback = ScriptedHook(lambda draft: Verdict())
    async with open_world(tmp_path, moderation=judge(), callback=callback) as world:
        alice = await world.login("alice")
        assert (await alice.send("u/bob", "forbidden"))[0] == 403
        assert callback.drafts == []
        await alice.said("u/bob", "rude")
        assert b"****" in callback.drafts[-1].body


async def test_who_had_a_hit_is_listened_to_for_an_hour() -> None:
    moderation = judge()
    clock = moderation._clock
    assert isinstance(clock, TestClock)

    def sounds() -> bool:
        return bool(moderation._look("ann", "s", 0, [("发漂", True)])[0])

    assert not sounds()
    moderation._look("ann", "s", 0, [("maybe", True)])
    assert sounds()
    clock.advance(SUSPECT_MS + 1)
    assert not sounds()
    for number in range(MOST_SUSPECTS + 10):
        moderation._look(f"u{number}", "s", 0, [("maybe", True)])
    assert len(moderation._suspects) == MOST_SUSPECTS


async def test_texts_and_hits_are_counted_by_list() -> None:
    moderation = judge()
    for text in ("fine", "rude", "rude and forbidden", "maybe rude"):
        moderation._look("ann", "s", 0, [(text, True)])
    assert moderation.stats() == {
        "looked": 4,
        "hits": {"mask mask": 3, "ban reject": 1, "watch note": 1},
    }
    moderation.use(Matcher({"watch": LISTS["watch"]}))
    assert moderation.stats()["hits"] == {"watch note": 1}, "a list that is gone is counted no more"

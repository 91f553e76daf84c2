"""Every method answers within one frame, whatever others made of the data it reads; lists go on where they
ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from frame.constants import MAX_BODY
from im_service.calls import encode_answer
from im_service.errors import ImError
from im_service.ids import ServerIds
from im_service.methods import METHODS
from im_service.notices import Announcer
from im_service.rates import Rate
from im_service.settings import ImSettings
from im_service.spread import Spread
from im_service.storage.records import Reaction
from tests.support.im_largest import (
    BODY,
    GROUP,
    HERO,
    MEMBERS,
    PEERS,
    ROOM,
    SETTINGS,
    TEXTS,
    WIDE,
    Stage,
    build,
    name,
    single,
)
from tests.support.im_world import open_world
from tests.support.store_kit import count

ENGINES = ("sqlite",)
BUS = 1_000_000  # bytes: what the bus takes of an answer to the application's server
TALK = "g/" + GROUP
Case = Callable[[Stage], Awaitable[None]]
CASES: dict[str, Case] = {}


def once(method: str, **args: Any) -> None:
    """A method whose answer is one thing."""

    async def case(stage: Stage) -> None:
        given = {key: value(stage) if callable(value) else value for key, value in args.items()}
        if METHODS[method].server_only:
            answer = msgspec.msgpack.encode(await stage.world.im.invoke(method, given))
            assert len(answer) < BUS, method
        else:
            await stage.hero.ok(method, **given)

    CASES[method] = case


def pages(
    method: str,
    key: str,
    at_least: int,
    follow: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | None],
    *,
    pages: int = 2,
    **args: Any,
) -> None:
    """A list: all of it comes, page by page, nothing twice."""

    async def case(stage: Stage) -> None:
        given = {key: value(stage) if callable(value) else value for key, value in args.items()}
        found: list[Any] = []
        count = 0
        asked: dict[str, Any] | None = given
        while asked is not None:
            if METHODS[method].server_only:
                answer = msgspec.msgpack.decode(encode_answer(await stage.world.im.invoke(method, asked)))
            else:
                answer = await stage.hero.ok(method, **asked)
            lines = answer[key]
            assert lines, (method, count)
            found += list(lines.items()) if isinstance(lines, dict) else lines
            count += 1
            asked = follow(answer, {**asked})
            assert count < 1000, method
        assert len(found) >= at_least, (method, len(found))
        assert len({repr(line) for line in found}) == len(found), f"{method}: twice"
        assert count >= pages, (method, count)

    CASES[method] = case


Step = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any] | None]


def after(key: str, of: Callable[[Any], Any]) -> Step:
    """The next page begins after the last line."""
    return lambda answer, asked: {**asked, "after": of(answer[key][-1])} if answer["more"] else None


def told(*names: str) -> Step:
    """The next page begins where the answer says."""
    return lambda answer, asked: (
        {**asked, **{name: answer[name] for name in names}} if answer["more"] else None
    )


def rest(of: str) -> Step:
    """What the answer had no room for is asked for again."""
    return lambda answer, asked: {**asked, of: answer["rest"]} if answer["rest"] else None


def seq_of(stage: Stage) -> int:
    return stage.seqs["group"]


def seqs_of(stage: Stage) -> list[int]:
    return [stage.seqs["group"]]


pages("sync", "conversations", 467, told("cursor", "after"), cursor=0, limit=500)
pages(
    "conversations",
    "conversations",
    460,
    lambda answer, asked: {**asked, "before": answer["before"]} if answer["before"] is not None else None,
    limit=100,
)
pages("unread", "conversations", 460, told("after"))
pages("group.mine", "groups", 7, after("groups", lambda line: line["group"]))
pages("group.members", "members", 500, after("members", lambda line: line["user"]), group=GROUP, limit=500)
pages("group.requests", "requests", 60, told("after"), group=GROUP, limit=100)
pages("friend.requests", "requests", 60, after("requests", lambda line: line["id"]), limit=100)
pages("relations", "relations", 100, told("cursor", "after"), limit=500)
pages("profile.get", "profiles", 20, rest("users"), users=PEERS[:20])
pages("presence.subscribe", "states", 100, rest("users"), users=PEERS[:100])
pages("devices", "devices", 900, after("devices", lambda line: line["device"]))
pages("room.people", "people", 600, after("people", lambda line: line["user"]), room=ROOM, limit=500)
pages("room.online", "users", 1, after("users", str), pages=1, room=ROOM, limit=500)
pages("room.queue.list", "items", 60, told("after"), room=ROOM)
pages("reactions", "reactions", 300, told("after"), conversation=TALK, seqs=seqs_of)
pages("receipt.list", "unread", 499, told("after"), pages=1, conversation=TALK, seq=seq_of)
pages("versions", "versions", 30, after("versions", lambda line: line[0]), conversation=TALK, seq=seq_of)
pages("broadcasts", "broadcasts", 10, told("after"), pages=1)
pages("get", "messages", 1, rest("seqs"), pages=1, conversation=TALK, seqs=seqs_of)
pages("history", "messages", 2, lambda answer, asked: (
    {**asked, "to_seq": answer["next_seq"]} if answer["more"] else None
), pages=1, conversation=TALK)  # fmt: skip
pages("pull", "messages", 2, lambda answer, asked: (
    {**asked, "from_seq": answer["messages"][-1][1] + 1} if answer["more"] else None
), pages=1, conversation=TALK)  # fmt: skip

once("account.disable", user=name("nobody"))
once("account.get", user=HERO)
once("account.mute", user=name("nobody"), group_s=-1)
once("ack", acks={single(peer): 1 for peer in PEERS})
once("broadcast", body={"data": "x" * 4000})
once("conversation.clear", conversation=single(PEERS[0]), up_to_seq=1)
once("conversation.set", conversation=single(PEERS[0]), pin=True, ext=WIDE * 1024)
once("delete", conversation=TALK, seqs=[1])
once("edit", conversation=TALK, seq=seq_of, body=BODY, ext=WIDE * 4096)
once("friend.alias", user=PEERS[0], alias=WIDE * 64, ext=WIDE * 1024)
once("group.create", group=name("new"), members=MEMBERS, limit=5000, name=WIDE * 128, **TEXTS)
once("group.info", group=name("vast"))
once("group.invite", group=GROUP, users=[name("new", n) for n in range(500)], text=WIDE * 500)
once("group.mute", group=GROUP, user=MEMBERS[0])
once("group.mute_all", group=GROUP, on=False)
once("group.nick", group=GROUP, nick=WIDE * 64)
once("group.role", group=GROUP, users=MEMBERS, role="manager")
once("group.update", group=GROUP, name=WIDE * 128, **TEXTS)
once("kick", devices=[name("device", n) for n in range(1, 100)], platforms=[1], ext=WIDE * 512)
once("message.batch", sender=HERO, targets=["u/" + peer for peer in PEERS], body=BODY, ext=WIDE * 4096)
once("message.send", sender=HERO, target=TALK, body=BODY, ext=WIDE * 4096)
once("presence.unsubscribe", users=PEERS)
once("profile.set", nick=WIDE * 64, icon=WIDE * 2048, sign=WIDE * 256, ext=WIDE * 1024)
once("react", conversation=TALK, seq=seq_of, kind=WIDE * 32, ext=WIDE * 256)
once("read", conversation=single(PEERS[0]), seq=1)
once("receipt.counts", conversation=TALK, seqs=list(range(1, 51)))
once("receipt.report", conversation=TALK, seqs=list(range(1, 51)))
once("receipts", conversations=[single(peer) for peer in PEERS[:100]])
once("relation.black", user=PEERS[0])
once("relation.mute", user=PEERS[0])
once("friend.add", user=PEERS[1])
once("consent.get")
once("consent.set", friend="nobody", group="friends")
once("friend.remove", user=PEERS[1])
once("friend.request", user=PEERS[2], text=WIDE * 500)
once("room.attributes", room=ROOM, put={"a": "x" * 4080}, remove=["b"])
once("room.black", room=ROOM, user=PEERS[3])
once("room.create", room=name("room", 1), name=WIDE * 128, announcement=WIDE * 4096)
once("room.info", room=ROOM)
once("room.join", room=ROOM)
once("room.leave", room=name("room", 2))
once("room.mute", room=ROOM, user=PEERS[3])
once("room.mute_all", room=ROOM, on=True)
once("room.mute_tag", room=ROOM, tag="tag")
once("room.queue.put", room=ROOM, key=WIDE * 128, value=WIDE * 4096)
once("room.queue.poll", room=ROOM)
once("room.recall", room=ROOM, server_id=1, text=WIDE * 128)
once("room.role", room=ROOM, user=PEERS[3], role="manager")
once("room.update", room=ROOM, name=WIDE * 128, announcement=WIDE * 4096)
once("time")
once("group.kick", group=GROUP, users=MEMBERS, text=WIDE * 500)
once("push.get")
once("push.register", vendor="apns", token="t" * 4096, app="a" * 200, locale="en")
once("push.set", quiet_from=1, quiet_to=2, zone="UTC")
once("push.test", user=HERO)
once("push.unregister")
once("account.shadow", user=name("nobody"), seconds=60)
once("account.create", user="newcomer", ext=WIDE * 1024)
once("account.import", accounts=[{"user": name("imported", n), "ext": WIDE * 1024} for n in range(200)])
pages("account.list", "accounts", 500, told("after"), limit=500)
once("account.delete", user="newcomer")
once("account.erasures", limit=100)
pages("account.export", "lines", 500, told("after"), user=HERO, limit=200)
once("account.restore", user="newcomer")
once("account.erase", user="newcomer")
once("account.erasure", user="newcomer")
once("message.report", conversation=single(PEERS[1]), seq=1, category="spam", text=WIDE * 500)
pages("moderation.queue", "items", 1, told("after"), pages=1, context=20)
once("moderation.item", id=1, context=20)
once("moderation.assign", id=1, assignee="ops", note=WIDE * 500)
once("moderation.decide", id=1, verdict="pass", by="ops", note=WIDE * 500)
once("moderation.statistics")
once("moderation.remove", sender=name("nobody"), limit=100)
once("events", limit=1000)
once("events.cursor", at="head")
once("events.groups")
once("recall", conversation=TALK, seq=seq_of, text=WIDE * 128, attach=WIDE * 5000)

LAST = {
    "broadcast.end", "events.commit", "events.drop", "events.group", "friend.decide", "group.decide",
    "group.dismiss", "group.join", "group.leave", "group.transfer", "moderation.verdict", "room.close",
    "room.kick", "room.queue.drop",
}  # fmt: skip
"""Refused or ending: their answers are a word."""


async def test_every_method_answers_within_a_frame_whatever_is_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        stage = await build(world)
        for case in CASES.values():
            await case(stage)
        assert await world.attempt("broadcast.end", {"id": 1}) == 0
        assert (
            await world.attempt(
                "moderation.verdict", {"conversation": TALK, "server_id": 1, "verdict": "pass"}
            )
            == 404
        )
        cursor = (await world.invoke("events.cursor", {"at": "head"}))["cursor"]
        await world.invoke("events.commit", {"group": "g" * 64, "cursor": cursor})
        await world.invoke("events.group", {"group": "g" * 64})
        await world.invoke("events.drop", {"group": "g" * 64})
        await stage.hero.ok("room.queue.drop", room=ROOM)
        assert (await stage.hero.call("room.kick", room=ROOM, user=HERO))[0] == 403
        await stage.hero.ok("room.close", room=ROOM)
        assert (await stage.hero.call("group.join", group=name("nogroup")))[0] == 803
        assert (await stage.hero.call("group.leave", group=GROUP))[0] == 403
        open_request = (await stage.hero.ok("group.requests", group=GROUP, limit=1))["requests"][0]
        await stage.hero.ok("group.decide", group=GROUP, id=open_request["id"], accept=True)
        asked = (await stage.hero.ok("friend.requests", limit=1))["requests"][0]
        await stage.hero.ok("friend.decide", id=asked["id"], accept=True)
        await stage.hero.ok("group.transfer", group=GROUP, user=open_request["user"])
        await world.invoke("group.dismiss", {"group": GROUP})
    assert "is not sent" not in caplog.text, "an event is cut, or what it tells of is refused"


def test_every_method_has_a_case() -> None:
    assert set(CASES) | LAST == set(METHODS)


async def test_a_call_with_a_long_unknown_key_is_answered(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        code, answer = await ann.call("time", **{"x" * (MAX_BODY + 100): 1})
        assert code == 414
        assert len(answer[0]) <= 500


async def test_a_notice_that_no_frame_takes_is_refused_before_it_is_stored(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        spread = Spread(world.downlink, world.clock, Rate(0))
        announcer = Announcer(world.clock, ServerIds(1), world.downlink, spread)
        announcer.group("team", "ann", "group.join", {"users": MEMBERS})
        with pytest.raises(ImError, match="the limit is"):
            announcer.group("team", "ann", "group.join", {"users": [WIDE * 64] * 300})


async def test_what_no_frame_could_carry_is_refused_before_it_is_stored(tmp_path: Path) -> None:
    async with open_world(tmp_path, SETTINGS) as world:
        ann, _ = await world.login("ann"), await world.login("bob")
        await ann.forced("group.create", group="team", members=MEMBERS, limit=5000)
        whole = {"target": {"ids": MEMBERS}, "pushContent": WIDE * 500}
        before = await count(world.store)
        code, answer = await ann.send("g/team", BODY, ext=WIDE * 4096, options=whole)
        assert (code, "the limit is" in answer[0]) == (414, True)
        huge = {"sender": "ann", "target": "u/bob", "body": BODY, "ext": WIDE * 4096}
        many = {"antispam": {f"{n}": "x" * 1000 for n in range(60)}}
        assert await world.attempt("message.send", {**huge, "options": many}) == 414
        assert await count(world.store) == before
        assert await world.attempt("message.send", huge) == 0


async def test_a_page_of_reactions_reads_those_of_few_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world(tmp_path, ImSettings(reply_bytes=1024)) as world:
        ann, bob = await world.login("ann"), await world.login("bob")
        seqs = [(await ann.said("u/bob"))[1] for _ in range(30)]
        for seq in seqs:
            for kind in "abcdef":
                await bob.ok("react", conversation="s/ann:bob", seq=seq, kind=kind)
        asked, read = [], world.store.reactions

        async def counted(conversation: str, wanted: Sequence[int]) -> list[Reaction]:
            asked.append(list(wanted))
            return await read(conversation, wanted)

        monkeypatch.setattr(world.store, "reactions", counted)
        found: list[list[Any]] = []
        after, more = "", True
        while more:
            asked.clear()
            page = await ann.ok("reactions", conversation="s/ann:bob", seqs=seqs, after=after)
            found += page["reactions"]
            assert sum(map(len, asked)) <= 20, asked
            after, more = page["after"], page["more"]
        assert [(line[0], line[2]) for line in found] == [(seq, kind) for seq in seqs for kind in "abcdef"]

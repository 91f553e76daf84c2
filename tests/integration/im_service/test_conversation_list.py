"""The conversation list: complete over its pages, in an order that reading does not change; unread counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from im_service.settings import ImSettings
from im_service.storage.ops import inbox
from tests.support.im_world import Person, World, open_world


async def whole(person: Person, limit: int) -> list[str]:
    found: list[str] = []
    before: dict[str, Any] = {}
    while True:
        page = await person.ok("conversations", limit=limit, **before)
        found += [line["conversation"] for line in page["conversations"]]
        if page["before"] is None:
            return found
        before = {"before": page["before"]}


async def said(world: World, sender: str) -> None:
    await world.invoke("message.send", {"sender": sender, "target": "u/ann", "body": {"text": "hi"}})


async def test_pages_lose_nothing_of_what_one_commit_wrote(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        senders = [f"p{number:03}" for number in range(150)]
        await asyncio.gather(*(said(world, sender) for sender in senders))
        found = await whole(ann, 30)
        assert len(found) == 150
        assert set(found) == {f"s/ann:{sender}" for sender in senders}


async def test_pinned_ones_come_first_and_only_messages_move_the_rest(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        for sender in ("b", "c", "d", "e"):
            await said(world, sender)
        assert await whole(ann, 2) == ["s/ann:e", "s/ann:d", "s/ann:c", "s/ann:b"]
        await ann.ok("read", conversation="s/ann:b", seq=1)
        await ann.ok("react", conversation="s/ann:c", seq=1, kind="ok")
        await ann.ok("conversation.set", conversation="s/ann:d", mute=True)
        assert await whole(ann, 2) == ["s/ann:e", "s/ann:d", "s/ann:c", "s/ann:b"]
        await ann.ok("conversation.set", conversation="s/ann:b", pin=True)
        await said(world, "c")
        assert await whole(ann, 2) == ["s/ann:b", "s/ann:c", "s/ann:e", "s/ann:d"]
        assert (await ann.call("conversations", before="nowhere"))[0] == 414


async def test_unread_leaves_out_groups_that_were_left_or_ended(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann, olga = await world.login("ann"), await world.login("olga")
        for group in ("left", "kicked", "ended", "mine"):
            await world.invoke("group.create", {"group": group, "owner": "olga", "members": ["ann"]})
            await olga.said("g/" + group, "hello")
        assert (await ann.ok("unread"))["total"] == 4
        await ann.ok("group.leave", group="left")
        await olga.ok("group.kick", group="kicked", users=["ann"])
        await olga.ok("group.dismiss", group="ended")
        counted = await ann.ok("unread")
        assert (counted["total"], counted["conversations"]) == (1, {"g/mine": 1})
        named = await ann.ok("unread", conversations=["g/left", "g/mine"])
        assert named["conversations"] == {"g/mine": 1}


async def test_who_has_very_many_conversations_gets_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one call looks at, in answers that have no room for what it finds."""
    monkeypatch.setattr(inbox, "PART", 30)
    async with open_world(tmp_path, ImSettings(reply_bytes=1024)) as world:
        me, talks = await world.login("me"), []
        for n in range(70):
            peer = f"{n:02}".rjust(64, "p")
            await world.invoke("message.send", {"sender": peer, "target": "u/me", "body": {"text": "x"}})
            talks.append(f"s/me:{peer}")

        found: list[str] = []
        asked: dict[str, Any] = {"cursor": 0}
        more = True
        while more:
            page = await me.ok("sync", limit=500, **asked)
            found += [line[0] for line in page["conversations"]]
            more, asked = page["more"], {"cursor": page["cursor"], "after": page["after"]}
        assert found == talks
        assert (await me.ok("sync", cursor=page["cursor"]))["conversations"] == []

        assert sorted(await whole(me, 100)) == talks

        found, after, more = [], "", True
        while more:
            page = await me.ok("unread", after=after)
            found += page["conversations"]
            more, after = page["more"], page["after"]
        assert found == talks
        for wrong in ("@x:1", f"@1:{1 << 63}", "@-1:3", "@"):
            assert (await me.call("sync", cursor=0, after=wrong))[0] == 414
        for wrong in ("x", f"{1 << 63}", "-1:", ":::", "1:a:b:c"):
            assert (await me.call("conversations", before=wrong))[0] == 414

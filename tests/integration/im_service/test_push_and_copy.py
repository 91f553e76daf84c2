"""What is pushed to whom with which text, and what is copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.im_ports import RecordingCopy, RecordingPush
from tests.support.im_world import open_world


@pytest.mark.parametrize(
    ("type", "body", "options", "text"),
    [
        (0, {"text": "hi"}, None, "Al: hi"),
        (0, {"text": "hi"}, {"needPushNick": False}, "hi"),
        (0, {"text": "hi"}, {"pushContent": "look"}, "Al: look"),
        (1, {"url": "http://x/y"}, None, "Al: [image]"),
        (100, {"data": 1}, None, "[message]"),
        (100, {"data": 1}, {"needPushNick": True}, "Al: [message]"),
        (0, {"text": "hi"}, {"forcePush": {"all": True, "content": "NOW"}}, "NOW"),
    ],
)
async def test_the_push_text(
    tmp_path: Path, type: int, body: Any, options: dict[str, Any] | None, text: str
) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        await alice.ok("profile.set", nick="Al")
        await alice.said("u/bob", body, type=type, options=options)
        await world.settle()
        assert [(p.user, p.text) for p in push.pushes] == [("bob", text)]


async def test_only_the_absent_unmuted_and_forced_are_pushed(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        live, quiet = await world.login("live"), await world.login("quiet")
        members = ["live", "quiet", "away"]
        await alice.forced("group.create", group="team", members=members)
        await quiet.ok("conversation.set", conversation="g/team", mute=True)
        await quiet.logout()
        await alice.said("g/team", "one", options={"payload": '{"a": 1}', "badge": False})
        await world.settle()
        assert [(p.user, p.forced, p.badge, p.payload) for p in push.pushes] == [
            ("away", False, False, '{"a": 1}')
        ]
        push.pushes.clear()
        await alice.said("g/team", "two", options={"forcePush": {"list": ["quiet"]}})
        await world.settle()
        assert [(p.user, p.forced) for p in push.pushes] == [("away", False), ("quiet", True)]
        assert live.connection.messages[-1][7] == {"text": "two"}


async def test_a_recall_cancels_the_push(tmp_path: Path) -> None:
    push = RecordingPush()
    async with open_world(tmp_path, push=push) as world:
        alice = await world.login("alice")
        server_id, seq = await alice.said("u/bob", "oops")
        await alice.ok("recall", conversation="s/alice:bob", seq=seq)
        assert push.cancelled == [server_id]


async def test_copies_say_what_happened_and_where_to(tmp_path: Path) -> None:
    copy = RecordingCopy()
    async with open_world(tmp_path, copy=copy) as world:
        alice = await world.login("alice")
        await alice.ok("group.create", group="team")
        await world.invoke("room.create", {"room": "hall"})
        await alice.ok("room.join", room="hall")
        await alice.said("u/bob", "a")
        await alice.said("g/team", "b", options={"env": "audit"})
        await alice.said("r/hall", "c")
        await alice.said("u/bob", "d", options={"route": False})
        await alice.ok("recall", conversation="s/alice:bob", seq=1)
        told = [(c.event, c.env, msgspec.msgpack.decode(c.body)[7]) for c in copy.copies]
        assert [t[:2] for t in told] == [
            ("notice", None), ("message.single", None), ("message.group", "audit"), ("message.room", None),
            ("notice", None),
        ]  # fmt: skip
        assert told[2][2] == {"text": "b"}
        assert told[4][2]["event"] == "recall"

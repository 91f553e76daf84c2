"""Lists are pages that say whether there is more and where it goes on, whatever they hold."""

from __future__ import annotations

from typing import Any

import pytest
from qianwan import Page, Reaction
from qianwan.api.base import page

from tests.support.scripted_gateway import ScriptedGateway
from tests.support.sdk_client import client

HIDDEN = 4


def message(seq: int, flags: int = 0) -> list[Any]:
    return ["g/team", seq, 100 + seq, 5, "bob", f"c{seq}", 0, {"text": str(seq)}, None, None, flags]


async def test_a_page_of_hidden_messages_is_not_the_end() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        answers = [
            {"messages": [message(9), message(8)], "more": True, "next_seq": 7},
            {"messages": [], "more": True, "next_seq": 5},
            {"messages": [message(5, HIDDEN)], "more": True},
            {"messages": [message(4)], "more": False},
        ]
        shown, to_seq = [], None
        while answers:
            gateway.results["history"] = answers.pop(0)
            found = await alice.history("g/team", to_seq=to_seq)
            shown += [entry.text for entry in found]
            to_seq = found.next
            assert found.more is bool(answers)
        assert shown == ["9", "8", "4"]
        asked = [args.get("to_seq") for name, args in gateway.calls if name == "history"]
        assert asked == [None, 7, 5, 4]


async def test_lists_say_whether_there_is_more() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        gateway.results |= {
            "group.members": {"members": [{"user": "ann"}, {"user": "bob"}], "more": True},
            "room.online": {"users": ["ann", "bob"], "online": 9},
            "conversations": {"conversations": [{"conversation": "g/team"}], "before": 77},
            "relations": {"relations": [], "cursor": 41, "more": False},
            "friend.requests": {"requests": [{"id": 3}], "more": False},
            "reactions": {"reactions": [[1, "bob", "ok", 5, "", "later field"]]},
            "get": {"messages": [message(2)]},
            "devices": {"devices": [{"device": "phone"}]},
        }
        members = await alice.groups.members("team")
        assert (members.more, members.next, [row["user"] for row in members]) == (True, "bob", ["ann", "bob"])
        room = await alice.join_room("hall")
        here = await room.users(limit=2)
        assert (here.more, here.next, here[0]) == (True, "bob", "ann")
        assert not (await room.users(limit=3)).more
        talks = await alice.conversations(limit=1)
        assert (talks.more, talks.next) == (True, 77)
        changed = await alice.relations.changed()
        assert (changed.more, changed.next, len(changed)) == (False, 41, 0)
        assert not (await alice.relations.requests()).more
        assert (await alice.reactions("g/team", [1]))[0] == Reaction(1, "bob", "ok", 5, "")
        assert (await alice.get("g/team", [2]))[0].text == "2"
        assert len(await alice.devices.all()) == 1


@pytest.mark.parametrize(("told", "more"), [({"more": False}, False), ({"more": True}, True), ({}, True)])
def test_what_the_service_says_goes_before_what_is_guessed(told: dict[str, bool], more: bool) -> None:
    assert page({"rows": [1, 2], **told}, "rows", limit=2) == Page((1, 2), more, None)


def test_a_rest_is_where_to_go_on() -> None:
    assert page({"rows": [1], "rest": [2, 3]}, "rows") == Page((1,), True, [2, 3])
    assert page({"rows": [1], "rest": []}, "rows") == Page((1,), False, [])


async def test_what_is_told_as_one_is_read_to_its_end() -> None:
    async with ScriptedGateway() as gateway, client(gateway) as alice:
        pages: dict[str, list[dict[str, Any]]] = {
            "unread": [
                {"total": 6, "conversations": {"g/a": 1, "g/b": 2}, "after": "g/b", "more": True},
                {"total": 3, "conversations": {}, "after": "g/bb", "more": True},
                {"total": 3, "conversations": {"g/c": 3}, "after": "g/c", "more": False},
            ],
            "receipt.list": [
                {"read": ["ann"], "unread": [], "after": "ann", "more": True},
                {"read": [], "unread": ["bob"], "after": "bob", "more": False},
            ],
            "relations": [
                {"relations": [{"user": "ann"}], "cursor": 5, "more": True, "after": "x"},
                {"relations": [{"user": "bob"}], "cursor": 6, "more": True},
            ],
        }
        for method, answers in pages.items():
            gateway.queued[method] = answers
        assert await alice.unread() == {"g/a": 1, "g/b": 2, "g/c": 3}
        assert await alice.receipt_members("g/team", 1) == (["ann"], ["bob"])
        changed = await alice.relations.changed(4)
        assert [row["user"] for row in changed] == ["ann", "bob"]
        assert (changed.more, changed.next) == (True, 6)
        asked = [args.get("after", "") for name, args in gateway.calls if name in pages]
        assert asked == ["", "g/b", "g/bb", "", "ann", "", "x"]

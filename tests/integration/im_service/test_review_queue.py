"""People report messages, and people decide about them and about those that are held."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from control.api.table import OPERATIONS
from im_service.errors import ImError
from im_service.rates import Rate
from im_service.sending.hooks import Action, Verdict
from im_service.settings import ImSettings
from tests.integration.im_service.test_hold import Hooked, held, read, team, texts
from tests.support.im_world import World, open_world
from tests.support.tree import ROOT

__all__ = ["held"]


async def test_a_report_comes_into_the_queue_once_for_each_user_and_message(held: Hooked) -> None:
    world = held.world
    alice, bob, carl = await team(world)
    for word in ("one", "two", "three"):
        await alice.said("g/team", word)
    history = (await bob.ok("history", conversation="g/team"))["messages"]
    seq = next(m[1] for m in history if m[7].get("text") == "two")
    args = {"conversation": "g/team", "seq": seq, "category": "spam", "text": "see this"}
    assert (await bob.ok("message.report", **args))["changed"]
    assert not (await bob.ok("message.report", **args))["changed"]
    assert (await carl.ok("message.report", conversation="g/team", seq=seq))["changed"]
    page = await world.invoke("moderation.queue", {"context": 1})
    (item,) = page["items"]
    assert (item["kind"], item["reports"], item["message"][7]["text"]) == ("reported", 2, "two")
    assert texts(item["before"]) == ["one"]
    assert texts(item["behind"]) == ["three"]
    assert [(s["user"], s["category"], s["text"]) for s in item["said"]] == [
        ("bob", "spam", "see this"),
        ("carl", "", ""),
    ]


async def test_who_may_not_see_a_message_may_not_report_it(held: Hooked) -> None:
    world = held.world
    alice, bob, carl = await team(world)
    dora = await world.login("dora")
    _, seq = await alice.said("g/team", "aside", options={"target": {"ids": ["bob"], "inclusive": True}})
    _, hidden = await alice.said("g/team", "dubious")
    assert (await carl.call("message.report", conversation="g/team", seq=seq))[0] == 404
    assert (await bob.call("message.report", conversation="g/team", seq=hidden))[0] == 404
    assert (await dora.call("message.report", conversation="g/team", seq=seq))[0] == 802
    assert (await alice.call("message.report", conversation="g/team", seq=seq))[0] == 403
    assert (await bob.call("message.report", conversation="g/team"))[0] == 414


async def test_a_reported_message_stays_or_is_recalled(held: Hooked) -> None:
    world = held.world
    alice, bob, _ = await team(world)
    for verdict, state in (("pass", "passed"), ("reject", "refused")):
        _, seq = await alice.said("u/bob", f"words {verdict}")
        await bob.ok("message.report", conversation="s/alice:bob", seq=seq)
        world.clock.advance(20 * 86_400_000)
        assert await held.decide(verdict, text="rules") == state
    assert [m[7].get("event") for m in bob.connection.messages].count("recall") == 1
    assert "words reject" not in await read(bob, "s/alice:bob")
    decisions = {("@report", "passed"): 1, ("@report", "refused"): 1}
    assert world.im.decisions.stats() == {"decisions": decisions}
    rules = (await world.invoke("moderation.statistics", {}))["rules"]
    assert [(r["rule"], r["passed"], r["refused"], r["false_positives"]) for r in rules] == [
        ("@report", 1, 1, 0.5)
    ]


async def test_a_message_is_decided_once_and_open_again_with_a_new_report(held: Hooked) -> None:
    world = held.world
    alice, bob, carl = await team(world)
    _, seq = await alice.said("g/team", "dubious")
    number = (await world.invoke("moderation.queue", {}))["items"][0]["id"]
    decision = {"id": number, "verdict": "pass", "by": "mia"}
    assert await world.attempt("moderation.decide", decision) == 0
    assert await world.attempt("moderation.decide", decision) == 409
    assert not (await world.invoke("moderation.queue", {}))["items"]
    await bob.ok("message.report", conversation="g/team", seq=seq)
    (item,) = (await world.invoke("moderation.queue", {}))["items"]
    assert (item["id"], item["kind"], item["decided_by"]) == (number, "reported", "mia")
    assert await held.decide("reject") == "refused"
    assert "recall" in texts(carl.connection.messages)


async def test_the_queue_is_read_in_pages_by_what_is_asked_for(held: Hooked) -> None:
    world = held.world
    alice, bob, _ = await team(world)
    for number in range(5):
        await alice.said("u/bob", f"dubious {number}")
        await bob.said("g/team", f"dubious {number}")
    found, after, more = [], 0, True
    while more:
        page = await world.invoke("moderation.queue", {"sender": "bob", "limit": 2, "after": after})
        found += [item["message"][7]["text"] for item in page["items"]]
        after, more = page["after"], page["more"]
    assert found == [f"dubious {number}" for number in range(5)]
    first = (await world.invoke("moderation.queue", {"conversation": "g/team"}))["items"][0]["id"]
    await world.invoke("moderation.assign", {"id": first, "assignee": "mia", "note": "ask"})
    mine = (await world.invoke("moderation.queue", {"assignee": "mia"}))["items"]
    assert [(item["id"], item["note"]) for item in mine] == [(first, "ask")]
    assert len((await world.invoke("moderation.queue", {"assignee": "@nobody"}))["items"]) == 9
    assert not (await world.invoke("moderation.queue", {"kind": "reported"}))["items"]


async def test_reports_have_a_rate(tmp_path: Path) -> None:
    async with open_world(tmp_path, ImSettings(report_rate=Rate(0.01, 2))) as world:
        alice, bob, _ = await team(world)
        codes = []
        for _ in range(3):
            _, seq = await alice.said("u/bob", "hello")
            codes.append((await bob.call("message.report", conversation="s/alice:bob", seq=seq))[0])
        assert codes == [0, 0, 416]


async def test_everything_somebody_said_is_taken_back_page_by_page(held: Hooked) -> None:
    world = held.world
    alice, bob, _ = await team(world)
    await world.invoke("room.create", {"room": "hall", "history": True})
    await alice.ok("room.join", room="hall")
    for number in range(5):
        await alice.said("u/bob", f"mine {number}")
        await bob.said("u/alice", f"theirs {number}")
        await alice.said("g/team", f"mine {number}")
        await alice.said("r/hall", f"mine {number}")
    await alice.said("u/bob", "dubious")
    world.clock.advance(30 * 86_400_000)
    removed, after, more, pages = 0, "", True, 0
    while more:
        args = {"sender": "alice", "limit": 2, "after": after}
        page = await world.invoke("moderation.remove", args)
        removed, after, more, pages = removed + page["removed"], page["after"], page["more"], pages + 1
    assert (removed, pages > 5) == (11, True)
    assert (await world.invoke("moderation.remove", {"sender": "alice"}))["removed"] == 0
    assert [m[7].get("event") for m in bob.connection.messages].count("recall") == 10
    hall = await world.invoke("moderation.remove", {"sender": "alice", "conversation": "r/hall"})
    assert (hall["removed"], hall["more"]) == (5, False)
    for talk in ("s/alice:bob", "g/team"):
        assert not [text for text in await read(bob, talk) if text and text.startswith("mine")]
    left = [text for text in await read(bob, "s/alice:bob") if text and text.startswith("theirs")]
    assert len(left) == 5


@pytest.mark.parametrize(
    ("conversation", "code"),
    [("bob", 414), ("s/bob:alice", 414), ("s/alice:nobody", 404), ("g/nope", 404), ("r/nope", 404)],
)
async def test_what_somebody_said_in_an_unknown_conversation_is_not_nothing(
    held: Hooked, conversation: str, code: int
) -> None:
    await team(held.world)
    with pytest.raises(ImError) as refused:
        await held.world.invoke("moderation.remove", {"sender": "alice", "conversation": conversation})
    assert refused.value.code == code


EXAMPLE = re.search(r"```http\n(.*?)```", (ROOT / "docs" / "MODERATION.md").read_text("utf-8"), re.DOTALL)


async def told(world: World, line: str) -> tuple[int, Any]:
    """What the message service answers to a request of the page."""
    verb, where, *given = line.split(" ", 2)
    path, _, query = where.removeprefix("/v1").partition("?")
    for operation in OPERATIONS:
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", operation.path)
        found = re.fullmatch(pattern, path)
        if found is None or operation.http != verb:
            continue
        args = {**found.groupdict(), **dict(parse_qsl(query)), **(json.loads(given[0]) if given else {})}
        args = {name: int(v) if name in ("id", "context") else v for name, v in args.items()}
        user = args.pop(operation.actor) if operation.actor else ""
        try:
            return 200, json.loads(json.dumps(await world.invoke(operation.method, args, user)))
        except ImError as error:
            return int(error.code), {"code": int(error.code)}
    raise AssertionError(f"no route: {line}")


def within(expected: Any, answer: Any) -> bool:
    """Is what the page shows of an answer there?"""
    if isinstance(expected, dict):
        return all(name in answer and within(value, answer[name]) for name, value in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(answer) and all(map(within, expected, answer))
    return bool(expected == answer)


async def test_the_example_of_the_page_runs(held: Hooked) -> None:
    world = held.world
    alice = await world.login("alice")
    held.hook.decide = lambda draft: Verdict(Action.HOLD, rule="wait")
    await alice.said("u/bob", "dubious")
    held.hook.decide = lambda draft: Verdict()
    server_id, _ = await alice.said("u/bob", "harmless")
    assert EXAMPLE is not None
    lines = EXAMPLE[1].replace("419430400000000001", str(server_id)).splitlines()
    for asked, answered in zip(lines[::2], lines[1::2], strict=True):
        code, shown = answered.split(" ", 1)
        status, answer = await told(world, asked)
        assert status == int(code), (asked, answer)
        assert within(json.loads(shown), answer), (asked, answer)

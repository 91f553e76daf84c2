"""The application's server is asked before messages and calls; whatever it does, it harms no more than it
may."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook

from control.callbacks.asker import Callbacks
from control.outgoing.signing import make_secret
from control.settings import Settings
from control.settings.callbacks_section import CallbacksSection
from control.settings.outgoing_section import OutgoingSection
from control.settings.values import Secret
from im_service.callbacks.ask import CallCallback, MessageCallback
from im_service.callbacks.kinds import Kind
from im_service.settings import ImSettings
from tests.support.asked_server import (
    Answers,
    Asked,
    AskedServer,
    answer,
    asked_server,
    drip,
    endless,
    hangs_up,
    never,
    says,
    whole,
)
from tests.support.im_world import World, open_world
from tests.support.server_process import ROOT, free_ports

ENGINES = ("sqlite",)
SECRET = make_secret()
ALLOW = says(verdict="allow")
SERVICE = ImSettings(rooms_by_clients=True, friend_consent="ask")


class Scene:
    def __init__(self, world: World, server: AskedServer, callbacks: Callbacks) -> None:
        self.world, self.server, self.callbacks = world, server, callbacks

    def outcomes(self, kind: str = "message.single") -> dict[str, int]:
        stats: Any = self.callbacks.sources()["callbacks"]()
        pairs = (key.split(" ") for key in stats["answers"])
        return {outcome: stats["answers"][f"{of} {outcome}"] for of, outcome in pairs if of == kind}


@asynccontextmanager
async def opened(path: Path, **settings: Any) -> AsyncIterator[Scene]:
    async with asked_server() as server:
        server.answers = ALLOW
        given = {"url": server.url, "secret": Secret(SECRET), "budget_ms": 5000, "break_failures": 64}
        section = CallbacksSection(**given | settings)
        outgoing = OutgoingSection(networks=("127.0.0.0/8",), plain_http=True)
        callbacks = Callbacks(replace(Settings(), callbacks=section, outgoing=outgoing))
        await callbacks.start()
        try:
            hooks = {"callback": MessageCallback(callbacks), "call_callback": CallCallback(callbacks)}
            async with open_world(path, SERVICE, **hooks) as world:
                yield Scene(world, server, callbacks)
        finally:
            await callbacks.stop(0)


async def test_a_message_is_asked_about_signed_and_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        options = {"antispam": {"policy": "strict"}, "pushContent": "psst"}
        await alice.said("u/bob", "hello", ext="more", options=options, client_id="c1")
        asked = scene.server.asked[0]
        said = Webhook(SECRET).verify(asked.body, asked.headers)
        assert said.pop("id") == asked.headers["webhook-id"]
        assert said.pop("time_ms") > 0
        assert said == {
            "kind": "message.single", "conversation": "s/alice:bob", "from": "alice", "device": "phone",
            "to": "bob", "client_id": "c1", "type": 0, "body": {"text": "hello"}, "ext": "more",
            "antispam": {"policy": "strict"}, "push": ["psst"],
        }  # fmt: skip
        assert [m[7]["text"] for m in bob.connection.messages] == ["hello"]


async def test_a_refusal_reaches_the_sender_with_text_and_code(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        scene.server.answers = says(verdict="refuse", code=77, text="buy a plan")
        assert await alice.send("u/bob") == (403, ["buy a plan", {"hook": True, "code": 77}])
        scene.server.answers = says(verdict="refuse")
        assert await alice.send("u/bob") == (403, ["rejected", {"hook": True}])
        scene.server.answers = ALLOW
        assert (await alice.said("u/bob"))[1] == 1, "a refused message takes no number"
        assert len(bob.connection.messages) == 1


async def test_body_and_ext_are_replaced_for_everybody(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        scene.server.answers = says(verdict="replace", body={"text": "better"}, ext="e2")
        await alice.said("u/bob", "worse", ext="e1")
        scene.server.answers = says(verdict="replace", ext="only")
        await alice.said("u/bob", "mine")
        stored = (await bob.ok("history", conversation="s/alice:bob"))["messages"]
        assert sorted((m[7]["text"], m[9]) for m in stored) == [("better", "e2"), ("mine", "only")]


BEYOND = answer(200, b'{"verdict":"replace","body":{"text":"x","n":' + b"9" * 30 + b"}}")
NESTED = answer(200, b'{"verdict":"replace","body":' + b'{"a":' * 5000 + b"1" + b"}" * 5001)
TOO_LONG = says(verdict="replace", body={"text": "x" * 5001})
FAILURES: dict[str, tuple[Answers, str]] = {
    "ten megabytes": (answer(200, b'{"verdict":"allow","x":"' + b"x" * 10_000_000 + b'"}'), "large"),
    "never ends": (endless, "large"),
    "silent": (never, "timeout"),
    "slow drip": (drip, "timeout"),
    "hangs up": (hangs_up, "broken"),
    "garbage": (answer(200, b"\xff{{{"), "garbage"),
    "nothing": (answer(200, b""), "garbage"),
    "no verdict": (says(text="hm"), "garbage"),
    "unknown verdict": (says(verdict="perhaps"), "garbage"),
    "a list": (answer(200, b'["allow"]'), "garbage"),
    "code of another type": (says(verdict="refuse", code="7"), "garbage"),
    "text without end": (says(verdict="refuse", text="x" * 5000), "garbage"),
    "replaces by nothing": (says(verdict="replace"), "garbage"),
    "a body of another type": (says(verdict="replace", body={"url": 1}), "garbage"),
    "a body too long": (TOO_LONG, "garbage"),
    "a number beyond": (BEYOND, "garbage"),
    "nested": (NESTED, "garbage"),
    "redirect": (answer(302, b"", "Location: http://127.0.0.1:1/\r\n"), "status"),
    "failing": (answer(500, b'{"verdict":"allow"}'), "status"),
}


@pytest.mark.parametrize("rule", ["open", "closed"])
async def test_whatever_a_hostile_server_answers_is_bounded_and_counted(tmp_path: Path, rule: str) -> None:
    async with opened(tmp_path, single=rule, budget_ms=1000) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        expected: dict[str, int] = {}
        for name, (answers, outcome) in FAILURES.items():
            scene.server.answers = answers
            code, payload = await alice.send("u/bob", name)
            assert code == (0 if rule == "open" else 503), (name, payload)
            expected[outcome] = expected.get(outcome, 0) + 1
            assert scene.outcomes() == expected, name


async def test_a_dead_server_is_left_alone_and_found_again(tmp_path: Path) -> None:
    async with opened(tmp_path, single="closed", break_failures=3, break_ms=10, break_most_ms=10) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        await scene.server.stop()
        for _ in range(3):
            assert (await alice.send("u/bob"))[0] == 503
        assert scene.callbacks.remarks()["callbacks"]() is not None
        await scene.server.start()
        async with asyncio.timeout(60):
            while (await alice.send("u/bob"))[0] == 503:
                pass
        assert scene.callbacks.remarks()["callbacks"]() is None
        assert scene.outcomes()["connect"] >= 3


async def test_one_kind_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    async with opened(tmp_path, single="closed", room="closed", break_failures=1, break_ms=60_000) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        await alice.ok("room.create", room="hall")
        await alice.ok("room.join", room="hall")
        scene.server.answers = answer(500)
        assert (await alice.send("u/bob"))[0] == 503
        scene.server.answers = ALLOW
        assert (await alice.send("u/bob"))[0] == 503
        assert scene.outcomes()["open"] == 1
        assert (await alice.send("r/hall"))[0] == 0


async def test_order_of_one_sender_to_one_target_is_kept_and_nobody_else_waits(tmp_path: Path) -> None:
    async with opened(tmp_path, budget_ms=5000) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        carol = await scene.world.login("carol")
        hold = asyncio.Event()

        async def slow_for_bob(asked: Asked, writer: asyncio.StreamWriter) -> None:
            if asked.said["to"] == "bob" and asked.said["from"] == "alice":
                await hold.wait()
            writer.write(whole(200, b'{"verdict":"allow"}'))

        scene.server.answers = slow_for_bob
        waiting = [asyncio.create_task(alice.send("u/bob", str(n))) for n in range(5)]
        await scene.server.until(1)
        await alice.said("u/carol", "to another")
        await carol.said("u/bob", "from another")
        assert [m[7]["text"] for m in bob.connection.messages] == ["from another"]
        assert len(scene.server.asked) == 3, "the second to bob waits for the first"
        hold.set()
        assert [code for code, _ in await asyncio.gather(*waiting)] == [0] * 5
        texts = [m[7]["text"] for m in bob.connection.messages if m[4] == "alice"]
        assert texts == ["0", "1", "2", "3", "4"]


async def test_whoever_lost_the_right_meanwhile_does_not_speak(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        group = (await alice.ok("group.create", group="team", name="T"))["group"]
        await alice.forced("group.invite", group=group, users=["bob"])
        hold = asyncio.Event()

        async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
            await hold.wait()
            writer.write(whole(200, b'{"verdict":"allow"}'))

        came = len(scene.server.asked)
        scene.server.answers = slow
        waiting = asyncio.create_task(bob.send("g/team"))
        await scene.server.until(came + 1)
        await alice.ok("group.kick", group=group, users=["bob"])
        hold.set()
        assert (await waiting)[0] == 802


async def test_edits_are_asked_about_and_server_sends_are_not(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        _, seq = await alice.said("u/bob", "first")
        scene.server.answers = says(verdict="refuse")
        edit = {"conversation": "s/alice:bob", "seq": seq, "body": {"text": "second"}}
        assert (await alice.call("edit", **edit))[0] == 403
        assert [asked.said["body"] for asked in scene.server.asked] == [{"text": "first"}, {"text": "second"}]
        await scene.world.invoke(
            "message.send", {"sender": "alice", "target": "u/bob", "body": {"text": "x"}}
        )
        await alice.forced("friend.request", user="bob")
        assert len(scene.server.asked) == 2


CALLS: dict[Kind, tuple[str, dict[str, Any]]] = {
    Kind.FRIEND: ("friend.request", {"user": "bob", "text": "hi"}),
    Kind.GROUP_CREATE: ("group.create", {"group": "mine", "name": "Mine"}),
    Kind.GROUP_JOIN: ("group.join", {"group": "open"}),
    Kind.ROOM_ENTER: ("room.join", {"room": "hall"}),
}


@pytest.mark.parametrize("kind", CALLS)
async def test_a_call_is_asked_about_and_refused_before_it_runs(tmp_path: Path, kind: Kind) -> None:
    async with opened(tmp_path, friend_request="closed", room_enter="closed") as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        await alice.forced("room.create", room="hall")
        await scene.world.invoke("group.create", {"group": "open", "name": "O", "join": "free"}, "bob")
        assert scene.server.asked == []
        method, args = CALLS[kind]
        scene.server.answers = says(verdict="refuse", code=5, text="no")
        assert await alice.call(method, **args) == (403, ["no", {"hook": True, "code": 5}])
        said = scene.server.asked[0].said
        assert (said["kind"], said["from"], said["method"]) == (kind.value, "alice", method)
        assert said["arguments"] == args
        scene.server.answers = answer(500)
        code, _ = await alice.call(method, **args)
        assert code == (503 if kind in (Kind.FRIEND, Kind.ROOM_ENTER) else 0)


async def test_rules_change_while_it_runs_and_off_asks_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path, single="off") as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        await alice.said("u/bob")
        assert scene.server.asked == []
        scene.callbacks.set(CallbacksSection(single="open"))
        await alice.said("u/bob")
        assert len(scene.server.asked) == 1


async def test_a_process_that_ends_waits_for_one_question_at_most(tmp_path: Path) -> None:
    async with opened(tmp_path, single="closed", budget_ms=300) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        scene.server.answers = never
        waiting = [asyncio.create_task(alice.send("u/bob", str(n))) for n in range(20)]
        await scene.server.until(1)
        await scene.callbacks.drain()
        await scene.world.settle()
        assert [code for code, _ in await asyncio.gather(*waiting)] == [503] * 20
        assert len(scene.server.asked) == 1


async def test_where_nobody_is_asked_a_message_waits_in_no_lane(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        alice = await world.login("alice")
        await alice.said("u/bob", "first")  # from now on its way is known
        payload = msgspec.msgpack.encode(["c2", 0, {"text": "second"}, None, None])
        world.im.on_sends([(alice.session, 4711, "u/bob", payload)])
        assert world.im.sessions.hear(alice.session).lanes == {}
        assert (await alice.answer(4711))[0] == 0


async def test_a_picked_receiver_who_left_meanwhile_gets_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        carl = await scene.world.login("carl")
        await alice.forced("group.create", group="team", members=["bob", "carl"])
        hold = asyncio.Event()

        async def slow(asked: Asked, writer: asyncio.StreamWriter) -> None:
            await hold.wait()
            writer.write(whole(200, b'{"verdict":"allow"}'))

        scene.server.answers = slow
        options = {"target": {"ids": ["bob", "carl"]}}
        waiting = asyncio.create_task(alice.send("g/team", "secret", options=options))
        await scene.server.until(1)
        await alice.forced("group.kick", group="team", users=["bob"])
        hold.set()
        assert (await waiting)[0] == 0
        heard = [[m[7].get("text") for m in who.connection.messages] for who in (bob, carl)]
        assert ["secret" in texts for texts in heard] == [False, True]


async def test_the_example_of_the_page_decides(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "CALLBACKS.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    (port,) = free_ports(1)
    words = [sys.executable, str(tmp_path / "example.py"), SECRET, str(port)]
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        url = f"http://127.0.0.1:{port}/"
        async with opened(tmp_path, url=url, single="closed", budget_ms=5000) as scene:
            alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
            mallory = await scene.world.login("mallory")
            await alice.said("u/bob", "hello")
            await alice.said("u/bob", "ping")
            assert await mallory.send("u/bob") == (403, ["not you", {"hook": True, "code": 77}])
            assert [m[7]["text"] for m in bob.connection.messages] == ["hello", "pong"]
        async with opened(tmp_path, url=url, single="closed", secret=Secret(make_secret())) as scene:
            assert (await (await scene.world.login("alice")).send("u/bob"))[0] == 503
    finally:
        process.kill()
        await process.wait()

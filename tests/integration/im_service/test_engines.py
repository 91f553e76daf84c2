"""Engines outside judge texts before others have them, and media afterwards."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from control.engines.asker import Engines
from control.outgoing.signing import make_secret
from control.settings import Settings
from control.settings.engines_section import EnginesSection, MediaEngineSection, TextEngineSection
from control.settings.outgoing_section import OutgoingSection
from control.settings.values import Secret
from im_service.settings import ImSettings
from tests.support.asked_server import AskedServer, answer, asked_server, says
from tests.support.im_world import World, open_world, until

ENGINES = ("sqlite",)
SECRET = make_secret()
IMAGE = {"url": "https://cdn.example.com/a.png"}


class Scene:
    def __init__(self, world: World, server: AskedServer, engines: Engines) -> None:
        self.world, self.server, self.engines = world, server, engines

    def numbers(self) -> Any:
        return self.engines.sources()["engines"]()


@asynccontextmanager
async def opened(
    path: Path, text: dict[str, Any] | None = None, media: dict[str, Any] | None = None
) -> AsyncIterator[Scene]:
    async with asked_server() as server:
        server.answers = says(verdict="pass")
        place: dict[str, Any] = {
            "url": server.url,
            "secret": Secret(SECRET),
            "budget_ms": 5000,
            "break_failures": 64,
        }
        engines = Engines(
            replace(
                Settings(),
                engines=EnginesSection(
                    text=TextEngineSection() if text is None else TextEngineSection(**place | text),
                    media=MediaEngineSection() if media is None else MediaEngineSection(**place | media),
                ),
                outgoing=OutgoingSection(networks=("127.0.0.0/8",), plain_http=True),
            )
        )
        await engines.start()
        try:
            ports = {"text_engine": engines.text, "media_engine": engines.media}
            async with open_world(path, ImSettings(rooms_by_clients=True), **ports) as world:
                yield Scene(world, server, engines)
        finally:
            await engines.stop(0)


async def test_every_text_of_a_message_is_asked_about_signed(tmp_path: Path) -> None:
    async with opened(tmp_path, text={}) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        options = {"antispam": {"policy": "strict"}, "pushContent": "psst"}
        await alice.said("u/bob", {"text": "hello", "note": "more"}, ext="ext", options=options)
        asked = scene.server.asked[0]
        said = Webhook(SECRET).verify(asked.body, asked.headers)
        assert (said["kind"], said["conversation"], said["from"]) == ("text", "s/alice:bob", "alice")
        assert (said["type"], said["antispam"]) == (0, {"policy": "strict"})
        assert said["texts"] == ["hello", "more", "ext", "text", "note", "psst"]
        assert said["replaceable"] == 3, "the rest are keys and a push text"
        assert len(bob.connection.messages) == 1


async def test_verdicts_reject_replace_and_hold(tmp_path: Path) -> None:
    async with opened(tmp_path, text={"cache": 0}) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        scene.server.answers = says(verdict="reject", text="no ads", rule="ads")
        assert await alice.send("u/bob", "one") == (403, ["no ads", {"hook": True}])
        scene.server.answers = says(verdict="replace", texts=["***", "text"])
        await alice.said("u/bob", "two")
        scene.server.answers = says(verdict="replace", texts=["***", "other key"])
        assert (await alice.send("u/bob", "three"))[0] == 403, "a key cannot be another one"
        assert [m[7]["text"] for m in bob.connection.messages] == ["***"]
        scene.server.answers = says(verdict="hold", rule="odd")
        server_id, _ = await alice.said("u/bob", "five")
        assert [m[7]["text"] for m in bob.connection.messages] == ["***"]
        held = (await scene.world.invoke("moderation.queue", {}))["items"]
        assert [(item["rule"], item["sender"]) for item in held] == [("@odd", "alice")]
        for rule, count in (("odd", 1), ("@odd", 1), ("od", 0), ("@@odd", 0)):
            found = await scene.world.invoke("moderation.queue", {"rule": rule})
            assert len(found["items"]) == count, rule
        verdict = {"conversation": "s/alice:bob", "server_id": server_id, "verdict": "pass", "rule": "odd"}
        await scene.world.invoke("moderation.verdict", verdict)
        assert bob.connection.messages[1][7]["text"] == "five"


async def test_what_was_wrong_with_an_answer_is_said_once_in_a_while_and_while_it_is_left_alone(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, text={"break_failures": 3, "cache": 0}) as scene:
        alice, _ = await scene.world.login("alice"), await scene.world.login("bob")
        remark = scene.engines.remarks()["engines"]
        assert remark() is None
        scene.server.answers = says(verdict="allow")
        with capture_logs() as lines:
            for _ in range(5):
                await alice.send("u/bob", "hello")
        (line,) = [line for line in lines if line["event"] == "an engine gave no answer"]
        assert (line["engine"], line["reason"], line["log_level"]) == ("text", "garbage", "warning")
        said = remark()
        for told in (line["text"], said):
            assert re.search(r"'allow'.*\$\.verdict", str(told)), "which word of it, and where"
        assert str(said).startswith("no answer of engines: text (")


@pytest.mark.parametrize(("fails", "code", "shown"), [("open", 0, 1), ("closed", 503, 0), ("hold", 0, 0)])
async def test_where_there_is_no_answer_the_setting_decides(
    tmp_path: Path, fails: str, code: int, shown: int
) -> None:
    async with opened(tmp_path, text={"fails": fails}) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        for wrong in (
            answer(200, b"{{"),
            says(verdict="allow"),
            says(verdict="replace", texts=["too few"]),
            says(verdict="replace", texts=["", "text"]),
            says(verdict="hold", rule="\0"),
            says(verdict="hold", rule="@report"),
        ):
            scene.server.answers = wrong
            before = len(bob.connection.messages)
            assert (await alice.send("u/bob", "hello"))[0] == code
            assert len(bob.connection.messages) - before == shown
        assert scene.numbers()["answers"] == {"text garbage": 6}, "no failure is remembered"


async def test_the_same_text_of_many_is_asked_about_once_for_a_while(tmp_path: Path) -> None:
    async with opened(tmp_path, text={"cache": 2, "cache_s": 60}) as scene:
        alice, carol = await scene.world.login("alice"), await scene.world.login("carol")
        await scene.world.login("bob")
        scene.server.answers = says(verdict="reject", text="no")
        for person in (alice, carol):
            assert (await person.send("u/bob", "spam"))[0] == 403
        assert (len(scene.server.asked), scene.numbers()["cached"]) == (1, 1)
        await alice.send("u/bob", "spam", options={"antispam": {"policy": "strict"}})
        await alice.send("u/bob", "other")
        assert len(scene.server.asked) == 3
        await alice.send("u/bob", "spam")
        assert len(scene.server.asked) == 4, "the oldest of three was forgotten"


async def test_kinds_types_and_antispam_say_who_is_asked_about(tmp_path: Path) -> None:
    rules = {"kinds": ("s",), "types": (0,), "heed_off": True}
    async with opened(tmp_path, text=rules) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        await alice.forced("group.create", group="team")
        await alice.said("g/team", "hello")
        await alice.said("u/bob", IMAGE, type=1)
        await alice.said("u/bob", "quiet", options={"antispam": {"on": False}})
        assert scene.server.asked == []
        await alice.said("u/bob", "hello", options={"antispam": {"on": True}})
        assert len(scene.server.asked) == 1
    async with opened(tmp_path, text={}) as scene:
        alice = await scene.world.login("alice")
        await alice.said("u/bob", "loud", options={"antispam": {"on": False}})
        assert len(scene.server.asked) == 1, "not everybody's own choice"


async def test_media_are_delivered_and_recalled_by_the_verdict(tmp_path: Path) -> None:
    async with opened(tmp_path, media={}) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        scene.server.answers = says(verdict="reject", rule="nude", text="not here")
        server_id, seq = await alice.said("u/bob", IMAGE, type=1)
        assert bob.connection.messages[0][7] == IMAGE
        await until(lambda: scene.world.im.stats()["media_recalled_total"] == 1)
        said = scene.server.asked[0].said
        assert (said["kind"], said["conversation"], said["server_id"]) == ("media", "s/alice:bob", server_id)
        assert said["body"] == IMAGE
        for person in (alice, bob):
            notice = person.connection.messages[-1][7]
            assert (notice["event"], notice["seq"], notice["text"]) == ("recall", seq, "not here")
        away = await scene.world.login("bob", "tablet")
        got = (await away.catch_up())["s/alice:bob"]
        assert all(message[7] != IMAGE for message in got)


async def test_a_picture_in_a_chatroom_is_recalled(tmp_path: Path) -> None:
    async with opened(tmp_path, media={}) as scene:
        alice, bob = await scene.world.login("alice"), await scene.world.login("bob")
        await alice.ok("room.create", room="hall")
        for person in (alice, bob):
            await person.ok("room.join", room="hall")
        scene.server.answers = says(verdict="reject")
        code, payload = await alice.send("r/hall", IMAGE, type=1)
        assert code == 0
        await until(lambda: scene.world.im.stats()["media_recalled_total"] == 1)
        (notice,) = bob.connection.notices("room.recall")
        assert notice["server_id"] == payload[0]


async def test_a_verdict_may_come_later_and_a_failing_engine_is_asked_again(tmp_path: Path) -> None:
    async with opened(tmp_path, media={"retry_ms": 10, "tries": 20}) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        scene.server.answers = answer(500)
        server_id, _ = await alice.said("u/bob", IMAGE, type=1)
        await scene.server.until(2)
        assert len({asked.said["id"] for asked in scene.server.asked}) == len(scene.server.asked)
        scene.server.answers = says(verdict="later")
        await until(lambda: scene.world.im.stats()["media_waiting"] == 0)
        verdict = {"conversation": "s/alice:bob", "server_id": server_id, "verdict": "reject", "rule": "x"}
        assert (await scene.world.invoke("moderation.verdict", verdict))["state"] == "refused"
        assert alice.connection.messages[-1][7]["event"] == "recall"


async def test_what_waits_is_bounded_and_counted_and_sends_are_undisturbed(tmp_path: Path) -> None:
    async with opened(tmp_path, media={"queue": 2}) as scene:
        alice = await scene.world.login("alice")
        await scene.world.login("bob")
        hold = asyncio.Event()

        async def hangs(asked: object, writer: asyncio.StreamWriter) -> None:
            await hold.wait()

        scene.server.answers = hangs
        for _ in range(5):
            await alice.said("u/bob", IMAGE, type=1)
        stats = scene.world.im.stats()
        assert (stats["media_waiting"], stats["media_dropped_total"]) == (2, 3)


async def test_the_servers_own_sends_are_not_judged(tmp_path: Path) -> None:
    async with opened(tmp_path, text={}, media={}) as scene:
        for body, type in (({"text": "x"}, 0), (IMAGE, 1)):
            sent = {"sender": "alice", "target": "u/bob", "body": body, "type": type}
            await scene.world.invoke("message.send", sent)
        assert scene.server.asked == []
        assert scene.world.im.stats()["media_waiting"] == 0

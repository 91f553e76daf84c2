"""Everything is checked at the border, once, against one grammar: what is stored can always be read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from frame.constants import MAX_BODY
from im_service.errors import ImError
from im_service.ids import MAX_TOPIC
from im_service.models import pack_payload
from im_service.storage.records import AppendResult, NewMessage
from tests.support.im_world import World, open_world, until
from tests.support.store_kit import count
from tests.support.tree import ROOT

pack = msgspec.msgpack.encode


def nested(levels: int) -> bytes:
    return b"\x81\xa4data" + b"\x91" * levels + b"\x01"


BAD = {
    "extension type": b"\x81\xa4data" + pack(msgspec.msgpack.Ext(5, b"x")),
    "timestamp": b"\x81\xa4data\xd6\xff\x00\x00\x00\x01",
    "timestamp of no date": b"\x81\xa4data\xc7\x0c\xff" + b"\xff" * 12,
    "nil key": b"\x81\xa4data\x81\xc0\x01",
    "number key": b"\x81\xa4data\x81\x01\x01",
    "array key": b"\x81\xa4data\x81\x91\x01\x01",
    "map key": b"\x81\xa4data\x81\x81\xa1a\x01\x01",
    "not a number": b"\x81\xa4data" + pack(math.nan),
    "infinite": b"\x81\xa4data" + pack(-math.inf),
    "33 levels": nested(32),
    "a thousand levels": nested(1000),
    "more values than anybody reads": b"\x81\xa4data" + pack([[]] * 16_384),
    "broken": b"\x81\xa4data\xc1",
}


def raw_send(body: bytes) -> bytes:
    return b"\x95\xa2id\x64" + body + b"\xc0\xc0"


async def test_a_push_payload_nested_without_end_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        for levels in (300, 900, 1000):
            for text in ('{"a":' + "[" * levels, '{"a":' + "[" * levels + "]" * levels + "}"):
                code, _ = await ann.send("u/bob", options={"payload": text})
                assert code in (0, 414)
        assert (await ann.send("u/bob", options={"payload": "[" * 2048}))[0] == 414


async def test_a_push_payload_is_json_that_everybody_reads(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        for text in ('{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}', '{"a":"\\ud800"}', "[]", "1", ""):
            assert (await ann.send("u/bob", options={"payload": text}))[0] == 414, text
        assert (await ann.send("u/bob", options={"payload": '{"a":[1,null,"x"]}'}))[0] == 0


@pytest.mark.parametrize("kind", BAD)
async def test_no_body_beyond_the_grammar_is_taken(tmp_path: Path, kind: str) -> None:
    body = BAD[kind]
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        _, seq = await ann.said("u/bob", "first")
        before = await count(world.store)
        world.im.on_sends([(ann.session, 9000, "u/bob", raw_send(body))])
        assert (await ann.answer(9000))[0] in (400, 414)
        text = body.replace(b"\xa4data", b"\xa1x", 1)
        edit = (
            b"\x83\xacconversation\xa9s/ann:bob\xa3seq" + pack(seq) + b"\xa4body\x82\xa4text\xa1t" + text[1:]
        )
        world.im.on_call(ann.session, 9001, "edit", edit)
        assert (await ann.answer(9001))[0] in (400, 414)
        sent = b"\x84\xa6sender\xa3ann\xa6target\xa5u/bob\xa4type\x64\xa4body" + body
        for method, args in (("message.send", sent), ("broadcast", b"\x81\xa4body" + body)):
            with pytest.raises(ImError) as refused:
                await world.im.invoke(method, msgspec.Raw(args))
            assert refused.value.code in (400, 414), (method, refused.value)
        assert await count(world.store) == before
        assert (await ann.ok("broadcasts"))["broadcasts"] == []


async def test_what_the_grammar_allows_is_taken(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        world.im.on_sends([(ann.session, 9000, "u/bob", raw_send(nested(31)))])
        assert (await ann.answer(9000))[0] == 0


async def stored(world: World, payload: bytes, type: int = 100) -> None:
    """A row as an earlier version may have written it."""
    answers: list[list[AppendResult] | BaseException] = []
    number = world.im.sync._clock.now_ms()
    row = NewMessage("s/ann:bob", "bob", f"old{len(payload)}", b"", number, number, type, payload)
    world.store.append([row], answers.append)
    await until(lambda: answers)


@pytest.mark.parametrize("kind", BAD)
async def test_rows_of_earlier_versions_are_read_as_what_they_are(tmp_path: Path, kind: str) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        await stored(world, pack_payload(BAD[kind]))
        for method, args in (("history", {}), ("pull", {}), ("get", {"seqs": [1]})):
            answer = await ann.ok(method, conversation="s/ann:bob", **args)
            msgspec.json.encode(answer)
            assert "unreadable" in answer["messages"][0][7]["data"], method
        assert (await ann.ok("conversations"))["conversations"][0]["last"][6] == 100


async def test_a_row_longer_than_a_frame_is_told_by_its_size(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        body = pack({"data": "x" * 70_000})
        await stored(world, body + b"\x80\xc0")
        answer = await ann.ok("history", conversation="s/ann:bob")
        assert answer["messages"][0][7] == {"data": {"unreadable": len(body), "type": 100}}


async def test_a_broadcast_is_checked_before_it_is_stored_and_can_be_ended(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        for args in ({"body": {"data": "x" * 70_000}}, {"body": {}, "type": 77}, {"body": [1]}):
            assert await world.attempt("broadcast", args) == 414
        assert (await ann.ok("broadcasts"))["broadcasts"] == []
        kept = await world.invoke("broadcast", {"body": {"data": "hello"}})
        assert len((await ann.ok("broadcasts"))["broadcasts"]) == 1
        await world.invoke("broadcast.end", {"id": kept["id"]})
        assert (await ann.ok("broadcasts"))["broadcasts"] == []
        assert ann.connection.notices("broadcast.end") == [{"id": kept["id"]}]
        assert await world.attempt("broadcast.end", {"id": kept["id"]}) == 404


async def test_a_broadcast_that_is_too_long_already_holds_up_nobody(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        now = world.clock.now_ms()
        payload = pack({"type": 100, "body": {"data": "x" * 70_000}})
        await world.store.add_broadcast(payload, 0, now, now + 60_000)
        await world.invoke("broadcast", {"body": {"data": "next"}})
        answer = await ann.ok("broadcasts")
        found = list(answer["broadcasts"])
        while answer["more"]:
            answer = await ann.ok("broadcasts", after=answer["after"])
            found += answer["broadcasts"]
        assert [line["body"]["data"] for line in found] == [{"unreadable": 70_011, "type": 100}, "next"]


async def test_a_broadcast_to_a_platform_that_is_none_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        for platforms in ([99], [-1], [1, 31]):
            assert await world.attempt("broadcast", {"body": {"data": 1}, "platforms": platforms}) == 414
        assert not (await world.store.broadcasts(0, 0, 10))


async def test_a_live_broadcast_reaches_the_platforms_it_is_for(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        phone, page = await world.login("ann", "phone", 1), await world.login("ann", "page", 3)
        other = await world.login("bob", "page", 3)
        await world.invoke("broadcast", {"body": {"data": "phones"}, "platforms": [1]})
        heard = [len(each.connection.notices("broadcast")) for each in (phone, page, other)]
        assert heard == [1, 0, 0]
        assert not any(topic.startswith("b/") for topic in phone.connection.topics)


@pytest.mark.parametrize("rate", [math.inf, math.nan, -math.inf])
async def test_numbers_are_finite(tmp_path: Path, rate: float) -> None:
    async with open_world(tmp_path) as world:
        assert await world.attempt("room.create", {"room": "hall", "normal_per_s": rate}) == 414
        assert await world.store.rooms(["hall"]) == []


async def test_room_and_tag_that_make_no_topic_are_refused_before_joining(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        room = "r" * 64
        await world.invoke("room.create", {"room": room, "owner": "ann"})
        assert (await ann.call("room.join", room=room, tags=["t" * 14]))[0] == 414
        assert (await ann.ok("room.online", room=room))["users"] == []
        await ann.ok("room.join", room=room, tags=["t" * 13])
        assert (await ann.send("r/" + room, options={"tag": "t" * 14}))[0] == 414
        assert (await ann.send("r/" + room, options={"tag": "no tag"}))[0] == 414
        assert (await ann.send("r/" + room, options={"tag": "t" * 13}))[0] == 0


def test_the_service_and_the_core_know_the_same_topic_limit() -> None:
    assert f"TOPIC_MAX = {MAX_TOPIC} " in (ROOT / "gateway_core" / "conn" / "announce.pxd").read_text()


async def test_a_batch_repeated_in_another_order_is_known_and_another_campaign_is_new(
    tmp_path: Path,
) -> None:
    async with open_world(tmp_path) as world:
        await world.login("bob")
        first: dict[str, Any] = {"sender": "ann", "body": {"text": "x"}, "client_id": "c" * 63 + "1"}
        targets = [f"u/b{n}" for n in range(5)]
        once = (await world.invoke("message.batch", {**first, "targets": targets}))["results"]
        again = (await world.invoke("message.batch", {**first, "targets": targets[::-1]}))["results"]
        assert {line["target"]: line["server_id"] for line in once} == {
            line["target"]: line["server_id"] for line in again
        }
        other = {**first, "client_id": "c" * 63 + "2", "targets": targets}
        second = (await world.invoke("message.batch", other))["results"]
        assert not {line["server_id"] for line in once} & {line["server_id"] for line in second}


async def test_an_error_text_is_no_longer_than_people_read(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        ann = await world.login("ann")
        code, answer = await ann.call("time", **{"x" * (MAX_BODY + 100): 1})
        assert (code, len(answer[0]) <= 500) == (414, True)

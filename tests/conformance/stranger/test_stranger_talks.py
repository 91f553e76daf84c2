"""A client written from docs/PROTOCOL.md alone logs in, sends, receives and is refused by a real server."""

from __future__ import annotations

import ast
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from qianwan import Client

from tests.conformance.stranger import ed25519
from tests.conformance.stranger.stranger_client import (
    PING,
    PONG,
    REKEY,
    Refused,
    frame,
    read_uv,
    uv,
)
from tests.conformance.stranger.tiny_msgpack import pack, unpack

HERE = Path(__file__).parent
OWN_FILES = ["stranger_client.py", "tiny_msgpack.py", "ed25519.py"]
WAYS = pytest.mark.parametrize(
    ("suite", "websocket"),
    [(1, False), (2, False), (1, True), (2, True)],
    ids=["1-tcp", "2-tcp", "1-ws", "2-ws"],
)


@pytest.mark.parametrize("name", OWN_FILES)
def test_it_knows_the_page_only(name: str) -> None:
    allowed = {"noise", "tests.conformance.stranger"} | set(sys.stdlib_module_names)
    for node in ast.walk(ast.parse((HERE / name).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for module in names:
            assert module.split(".")[0] in allowed or module.startswith("tests.conformance.stranger"), module


def test_its_ed25519_agrees_with_rfc_8032() -> None:
    public = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    signature = bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    assert ed25519.verify(public, b"\xaf\x82", signature)
    assert not ed25519.verify(public, b"\xaf\x83", signature)
    assert not ed25519.verify(public, b"\xaf\x82", signature[:-1] + b"\x0b")


NUMBERS = [-1, -33, -200, -40000, -(2**40), 0, 127, 128, 70000, 2**33, 1.5]
TEXTS = ["", "x" * 40, "é" * 300, b"", b"x" * 300]
NESTS = [[1] * 20, {"a": [None, {"b": "c"}]}, {str(i): i for i in range(20)}]


@pytest.mark.parametrize("value", [None, True, *NUMBERS, *TEXTS, *NESTS])
def test_its_msgpack_reads_what_it_writes(value: Any) -> None:
    assert unpack(pack(value)) == value
    assert msgspec.msgpack.decode(pack(value)) == value
    assert unpack(msgspec.msgpack.encode(value)) == value


@WAYS
def test_two_strangers_talk(realm: Any, suite: int, websocket: bool) -> None:
    name = f"{suite}{websocket}"
    alice, bob = (realm.meet(f"{user}-{name}", suite, websocket) for user in ("alice", "bob"))
    assert abs(read_uv(alice.hello[1])[0] / 1000 - time.time()) < 60
    for number in (1, 2):
        server_id, seq, _ = alice.send(f"u/bob-{name}", f"hello {number}", f"c-{number}")
        assert (seq, server_id > 0) == (number, True)
        message = bob.next()
        assert message[:3] == [f"s/alice-{name}:bob-{name}", number, server_id]
        assert (message[4], message[5], message[7], message[10]) == (
            f"alice-{name}",
            f"c-{number}",
            {"text": f"hello {number}"},
            0,
        )
    again = alice.send(f"u/bob-{name}", "hello 2", "c-2")
    assert again[:2] == [server_id, 2]
    with pytest.raises(Refused) as caught:
        alice.send(f"u/bob-{name}", "something else", "c-2")
    assert caught.value.code == 417
    bob.write(frame(PING, b"\x00" + uv(120), ack=2))
    assert bob.read().type == PONG
    pulled = bob.call("pull", conversation=message[0], from_seq=1, to_seq=None, limit=10)
    assert [entry[1] for entry in pulled["messages"]] == [1, 2]
    synced = bob.call("sync", cursor=0, limit=10)
    assert [row[:2] for row in synced["conversations"]] == [[message[0], 2]]
    assert bob.call("ack", acks={message[0]: 2}) == {}
    for one in (alice, bob):
        one.close()


@WAYS
def test_keys_change_under_a_running_conversation(realm: Any, suite: int, websocket: bool) -> None:
    one = realm.meet("rekeying", suite, websocket)
    for _ in range(3):
        one.write(frame(PING), frame(REKEY))
        assert one.read().type == PONG
    assert abs(one.call("time")["server_time_ms"] / 1000 - time.time()) < 60
    one.close()


def test_rooms_reach_every_member(realm: Any) -> None:
    realm.server.room("lobby")
    speaker, listener = realm.meet("speaker"), realm.meet("listener", 2, True)
    for one in (speaker, listener):
        assert one.call("room.join", room="lobby")["room"] == "lobby"
    assert speaker.send("r/lobby", "all of you", "r-1")[1] == 0
    for one in (speaker, listener):
        kind, message = one.next()
        while kind != 5:  # notices about who came
            kind, message = one.next()
        assert (kind, message[0], message[1], message[7]) == (5, "r/lobby", 0, {"text": "all of you"})
    with pytest.raises(Refused) as caught:
        realm.meet("outsider").send("r/lobby", "let me in", "r-2")
    assert caught.value.code == 13001


async def test_the_stranger_and_the_sdk_understand_each_other(realm: Any) -> None:
    async with Client(realm.server.url, token=realm.token("sdk")) as me:
        stranger = realm.meet("stranger")
        assert stranger.send("u/sdk", "from the page", "x-1")[1] == 1
        message = await anext(me.messages())
        assert (message.sender, message.text) == ("stranger", "from the page")
        await me.send("stranger", "from the package")
        assert stranger.next()[7] == {"text": "from the package"}

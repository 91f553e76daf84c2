"""What docs/PROTOCOL.md says about edges, asked of a real server by a client that knows the page alone."""

from __future__ import annotations

import json
import struct
import urllib.request
from typing import Any

import pytest
import zstandard

from tests.conformance.stranger.stranger_client import (
    AUTH,
    CALL,
    PING,
    PONG,
    REKEY,
    RETURN,
    SEND,
    SEND_ACK,
    Closed,
    Refused,
    Stranger,
    frame,
    read_uv,
    uv,
)
from tests.conformance.stranger.tiny_msgpack import pack, unpack

PADDING = 31


def secured(realm: Any, payload: bytes = b"") -> Stranger:
    return Stranger.connect(realm.host, realm.port, realm.root, payload=payload)


def ends(one: Stranger) -> int:
    """The code of the CLOSE that comes next, 0 without one."""
    with pytest.raises(Closed) as caught:
        one.read()
    return caught.value.code


def test_fields_of_message_1_that_nobody_knows_are_ignored(realm: Any) -> None:
    one = secured(realm, uv(99) + uv(3) + b"abc" + uv(300) + uv(0))
    assert one.login(realm.token("fields"))[1] == "fields"


@pytest.mark.parametrize("payload", [b"\x01", b"\x01\x05ab", b"\x80\x00\x00", b"\x01\x01a\x02"])
def test_a_payload_of_message_1_that_is_no_fields_ends_the_connection_without_a_word(
    realm: Any, payload: bytes
) -> None:
    with pytest.raises(Closed) as caught:
        secured(realm, payload)
    assert caught.value.code == 0


def test_keys_of_extras_that_nobody_knows_are_ignored(realm: Any) -> None:
    for extras in (b"", pack({}), pack({"later": [1, 2.5, b"x", None, {"deep": True}]})):
        assert secured(realm).login(realm.token("extra"), extras=extras)[1] == "extra"


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    "extras",
    [
        b"\xc1",
        pack([1]),
        pack("text"),
        pack({})[:-1] + b"\x81",
        pack({}) + b"\x00",
        b"\x81\x01\x01",
        b"\x81\xa1k\xd4\x01\x00",
        b"\x81\xa1k\xcb" + struct.pack(">d", float("inf")),
        b"\x81\xa1\xff\x01",
        b"\xdf\xff\xff\xff\xff",
        pack(nested(33)),
    ],
    ids=["byte", "list", "text", "cut", "tail", "key", "ext", "inf", "utf8", "count", "deep"],
)
def test_extras_that_are_no_map_end_the_connection_without_a_word(realm: Any, extras: bytes) -> None:
    one = secured(realm)
    one.write(frame(AUTH, one.auth(realm.token("extra"), extras=extras)))
    assert ends(one) == 0


def test_extras_may_be_as_deep_as_the_page_says(realm: Any) -> None:
    assert secured(realm).login(realm.token("deep"), extras=pack(nested(32)))[1] == "deep"


def test_nothing_can_be_acknowledged_before_login(realm: Any) -> None:
    one = secured(realm)
    one.write(frame(AUTH, one.auth(realm.token("early")), ack=1))
    assert ends(one) == 0


def test_the_first_frame_is_auth_and_padding_may_follow_it_in_its_record(realm: Any) -> None:
    early = secured(realm)
    early.write(frame(PADDING, bytes(9)), frame(AUTH, early.auth(realm.token("padded"))))
    assert ends(early) == 0
    late = secured(realm)
    late.write(frame(AUTH, late.auth(realm.token("padded"))), frame(PADDING, bytes(99)), frame(25))
    assert late.welcome()[1] == "padded"


def test_a_disabled_account_hears_4005_behind_auth_ok(realm: Any) -> None:
    token = realm.token("barred")
    assert realm.server.post("/v1/users/barred/disable", {"seconds": 60})[0] == 200
    one = secured(realm)
    assert one.login(token)[1] == "barred"
    assert ends(one) == 4005


def test_of_what_only_servers_send_a_pong_is_ignored(realm: Any) -> None:
    one = realm.meet("ponging")
    one.write(frame(PONG, uv(0)), frame(PING))
    assert one.read().type == PONG
    one.write(frame(RETURN, uv(1) + uv(0)))
    assert ends(one) == 4000


def test_rekey_has_no_body(realm: Any) -> None:
    one = realm.meet("rekey-body")
    one.write(frame(REKEY, b"x"))
    assert ends(one) == 0


def test_a_record_holds_at_most_65503_bytes_with_any_tag(realm: Any) -> None:
    one = realm.meet("large-record")
    large = frame(PADDING, bytes(60_000))
    rest = 65_503 - len(large) - 3  # type and two bytes of length
    one.write(large, frame(PADDING, bytes(rest)))
    one.write(frame(PING))
    assert one.read().type == PONG
    one.write(large, frame(PADDING, bytes(rest + 1)))
    assert ends(one) == 0


def compressed(kind: int, head: bytes, raw: bytes, said: int | None = None) -> bytes:
    body = head + raw
    packed = zstandard.compress(body)
    data = uv(len(body) if said is None else said) + packed
    return bytes([kind | 0x20]) + uv(len(data)) + data


def test_a_compressed_body_is_taken_up_to_65536_bytes_and_a_hundredfold(realm: Any) -> None:
    one = realm.meet("zipping")
    args = pack({})
    head = uv(1) + b"\x04time"
    one.write(compressed(CALL, head, args))
    assert one.read().type == RETURN
    body = bytes(range(256)) * 200
    one.write(compressed(SEND, uv(2) + b"\x05u/bob", pack(["z-1", 100, {"data": body[:4000]}, None, None])))
    assert one.read().type == SEND_ACK
    for lie in (compressed(CALL, head, args, said=9), compressed(CALL, uv(1) + b"\x04time", bytes(65_536))):
        liar = realm.meet("liar")
        liar.write(lie)
        assert ends(liar) == 0


def test_a_room_that_keeps_history_numbers_its_messages_and_others_do_not(realm: Any) -> None:
    for room, history in (("kept", True), ("passing", False)):
        made = realm.server.post("/v1/rooms", {"room": room, "history": history, "owner": "host"})
        assert made[0] < 300, made
    one = realm.meet("numbered")
    for room in ("kept", "passing"):
        one.call("room.join", room=room)
        numbers = [one.send(f"r/{room}", "hello", f"{room}-{i}")[1] for i in range(2)]
        assert numbers == ([1, 2] if room == "kept" else [0, 0])
        heard = [value[1] for kind, value in one.inbox if kind == 5 and value[0] == f"r/{room}"]
        while len(heard) < 2:
            kind, value = one.next()
            heard += [value[1]] if kind == 5 else []
        one.inbox.clear()
        assert heard[-2:] == numbers


def test_numbers_of_both_widths_travel_as_they_were_sent(realm: Any) -> None:
    ann, ben = realm.meet("ann-f"), realm.meet("ben-f")
    half = b"\xca" + struct.pack(">f", 0.5)
    payload = pack(["f-1", 100, {"data": "?"}, None, None]).replace(pack("?"), half)
    ann.request += 1
    ann.write(frame(SEND, uv(ann.request) + b"\x07u/ben-f" + payload))
    answer = ann.read()
    assert (answer.type, read_uv(answer.body, 1)[0]) == (SEND_ACK, 0), unpack(answer.body[2:])
    assert ben.next()[7] == {"data": 0.5}


@pytest.mark.parametrize("inside", [0, 0.5, "text", None])
def test_a_body_may_be_32_levels_deep_whatever_is_inside(realm: Any, inside: Any) -> None:
    one = realm.meet("nesting")
    value: Any = inside
    for _ in range(31):  # the body itself is the first
        value = [value]
    assert one.send_custom("u/bob", value, f"deep-{inside!r}")[1] > 0
    with pytest.raises(Refused) as caught:
        one.send_custom("u/bob", [value], f"deeper-{inside!r}")
    assert caught.value.code == 414


@pytest.mark.parametrize("asked", ["", "?transport=tcp", "?transport=ws"])
def test_an_answer_of_the_lbs_is_for_one_transport(realm: Any, asked: str) -> None:
    with urllib.request.urlopen(f"{realm.server.url}/v1/lbs{asked}") as answer:
        told = json.load(answer)
    expected = ("ws", "/qw1") if asked.endswith("ws") else ("tcp", None)
    assert {(g["transport"], g["path"]) for g in told["gateways"]} == {expected}
    addresses = [(g["host"], g["port"]) for g in told["gateways"]]
    assert len(set(addresses)) == len(addresses)

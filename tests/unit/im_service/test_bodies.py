"""Bodies are of their type and within their size."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from qianwan.protocol.room_messages import parse_room_messages

from frame.constants import EventKind
from im_service.errors import ImError
from im_service.models import message_bytes, pack_payload, room_event, unpack_payload
from im_service.sending.bodies import check_body

GOOD: list[tuple[int, dict[str, Any]]] = [
    (0, {"text": "x"}),
    (0, {"text": "x" * 5000, "mine": 1}),
    (1, {"url": "http://h/x", "size": 5, "width": 3, "height": 4, "digest": "d"}),
    (2, {"url": "u", "duration_ms": 9}),
    (3, {"url": "u", "duration_ms": 9, "cover": "c"}),
    (4, {"latitude": 90.0, "longitude": -180.0, "title": "pole"}),
    (6, {"url": "u", "name": "n"}),
    (10, {"text": "tip"}),
    (100, {"sub_type": 7, "data": {"any": [1, None]}}),
]
BAD: list[tuple[int, Any]] = [
    (0, {}), (0, {"text": ""}), (0, {"text": "x" * 5001}), (0, {"text": 5}), (0, "text"), (0, None),
    (1, {}), (1, {"url": ""}), (1, {"url": "u", "size": -1}), (2, {"url": "u"}), (3, {"duration_ms": 1}),
    (4, {"latitude": 91.0, "longitude": 0.0}), (6, {"url": "u"}), (10, {"text": "x" * 501}),
    (100, {"sub_type": -1}), (100, {"data": "x" * 5000}), (7, {}), (-1, {}), (5, {}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body"), GOOD)
def test_good_bodies_pass(kind: int, body: Any) -> None:
    check_body(kind, msgspec.msgpack.encode(body))


@pytest.mark.parametrize(("kind", "body"), BAD)
def test_bad_bodies_are_refused(kind: int, body: Any) -> None:
    with pytest.raises(ImError) as caught:
        check_body(kind, msgspec.msgpack.encode(body))
    assert caught.value.code in (403, 414)


def test_only_the_server_sends_notifications() -> None:
    body = msgspec.msgpack.encode({"event": "x"})
    check_body(5, body, server=True)
    with pytest.raises(ImError) as caught:
        check_body(5, body)
    assert caught.value.code == 403


def test_rooms_take_less() -> None:
    body = msgspec.msgpack.encode({"text": "x" * 4500})
    check_body(0, body)
    with pytest.raises(ImError):
        check_body(0, body, room=True)


DEEP = b"\x91" * 3000 + b"\xc0"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xc1", b"\x81", b"\x81\xa4text\xa1", b"\x81\xa4text\xa1\xff",
        b"\x82\xa4text\xa1x\xa4mine\xa1\xff", b"\x82\xa4text\xa1x\xa4mine" + DEEP,
        b"\x82\xa4text\xa1x\xa1\xff\xc0",
    ],
)  # fmt: skip
def test_broken_bytes_are_malformed(body: bytes) -> None:
    with pytest.raises(ImError) as caught:
        check_body(0, body)
    assert caught.value.code == 400


def test_a_stored_payload_is_the_wire_form_without_its_head() -> None:
    body = msgspec.msgpack.encode({"text": "hi"})
    options = msgspec.msgpack.encode({"push": False})
    payload = pack_payload(body, options, "ext")
    assert unpack_payload(payload) == (body, options, "ext")
    wire = message_bytes("s/a:b", 7, 8, 9, "a", "c", 0, payload, 2)
    assert msgspec.msgpack.decode(wire) == [
        "s/a:b", 7, 8, 9, "a", "c", 0, {"text": "hi"}, {"push": False}, "ext", 2,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("type", "body", "options", "ext"),
    [
        (0, {"text": "hi"}, {}, None),
        (0, {"text": ""}, {}, None),
        (0, {"text": "x" * 31}, {}, None),
        (0, {"text": "x" * 32}, {}, None),
        (0, {"text": "é" * 1900}, {}, None),
        (0, {"text": "hi", "font": 3}, {}, None),
        (0, {"text": "hi"}, {"highPriority": True}, None),
        (0, {"text": "hi"}, {}, "for the app"),
        (10, {"text": "a tip"}, {}, None),
        (100, {"data": [1, {"a": None}], "sub_type": 2}, {"tag": "red"}, ""),
    ],
)
@pytest.mark.parametrize("seq", [0, 300])
def test_members_read_all_of_a_room_message_but_its_client_id(
    type: int, body: dict[str, object], options: dict[str, object], ext: str | None, seq: int
) -> None:
    payload = pack_payload(msgspec.msgpack.encode(body), msgspec.msgpack.encode(options), ext)
    event = room_event(message_bytes("r/hall", seq, 7 << 60, 1_700_000_000_000, "ann", "a-1", type, payload))
    assert event[0] == EventKind.ROOM_MESSAGES
    (message,) = parse_room_messages(event[1:])
    assert msgspec.structs.astuple(message) == (
        "r/hall", seq, 7 << 60, 1_700_000_000_000, "ann", "", type, body, options, ext, 0,
    )  # fmt: skip


@pytest.mark.parametrize("head", [b"\xd9\x02", b"\xda\x00\x02", b"\xdb\x00\x00\x00\x02"])
def test_a_text_is_read_however_long_its_length_is_written(head: bytes) -> None:
    payload = b"\x81\xa4text" + head + b"hi\x80\xc0"
    event = room_event(message_bytes("r/hall", 0, 1, 2, "ann", "a-1", 0, payload))
    (message,) = parse_room_messages(event[1:])
    assert (message.text, message.options) == ("hi", {})

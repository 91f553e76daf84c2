"""What was said in a room, read from hostile bytes: all of it, or an error of ours."""

from __future__ import annotations

import random

import pytest
from qianwan.errors import ProtocolError
from qianwan.protocol.room_messages import parse_room_messages

HALL = b"\x04hall"


def test_a_message_whose_content_cannot_be_read_costs_nobody_else_theirs() -> None:
    broken = [b"\x01\x02\x02\x01\x02\xff\xff", b"\x00\x02\x02\x01\x01\xc1", b"\x00\x02\x02\x01\x02\x91\x00"]
    payload = HALL + b"\x01\x02\x02\x06ann\x02hi" + b"".join(broken) + b"\x01\x01\x00\x01\x03you"
    said = [(m.server_id, m.time_ms, m.sender, m.text) for m in parse_room_messages(payload)]
    assert said == [(1, 1, "ann", "hi"), (3, 4, "ann", "you")]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",
        b"\x41" + b"a" * 65,
        b"\x05hall",
        HALL + b"\x04\x02\x02\x02a\x00",  # a shape that is not known
        HALL + b"\x01\x01\x02\x02a\x00",  # an id below 0
        HALL + b"\x01\x02\x02\x01\x00",  # by nobody
        HALL + b"\x01\x02\x02\x84\x01" + b"a" * 66 + b"\x00",  # a name of 66 bytes
        HALL + b"\x01\x02\x02\x02a\x02x",  # cut off
    ],
)
def test_what_breaks_the_rules_is_refused(payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_room_messages(payload)


def test_random_bytes_are_read_or_refused() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = HALL + b"\x03\x02\x02\x06ann\x07\x02hi" + b"\x01\x03\x00\x01\x03you"
    for _ in range(3000):
        data = bytearray(good[: rng.randrange(len(good) + 1)])
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            parse_room_messages(bytes(data))
        except ProtocolError:
            continue

"""Where a CALL goes is found out whatever its argument bytes are: somebody has to answer it."""

from __future__ import annotations

import msgspec
import pytest

from control.im.api import ImApi, answer_question
from control.request_keys import call_key
from im_service.errors import Code

DEEP = b"\x91" * 60_000 + b"\xc0"
UNREADABLE = {
    "nothing": b"",
    "nested without end": b"\x82\xa4room\xa1x\xa1a" + DEEP,
    "broken text": b"\x81\xa4room\xa2\xff\xfe",
    "broken key": b"\x81\xa2\xff\xfe\xa1x",
    "key without a hash": b"\x82\xa4room\xa1x\x81\x90\x01\xa1y",
    "timestamp of no date": b"\x82\xa4room\xa1x\xa1a\xc7\x0c\xff" + b"\xff" * 12,
    "cut": b"\x82\xa4room\xa1x",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_call_that_nobody_reads_goes_to_somebody(kind: str) -> None:
    assert call_key("ann", "room.join", UNREADABLE[kind]) in ("u/ann", "r/x")


def test_a_call_goes_where_its_room_or_group_is() -> None:
    for place, key in (("room", "r/x"), ("group", "g/x")):
        assert call_key("ann", f"{place}.info", msgspec.msgpack.encode({place: "x"})) == key


async def test_a_question_that_nobody_reads_is_answered() -> None:
    class NoApi(ImApi):
        async def call(self, method: str, arguments: object, user: str = "") -> object:
            raise AssertionError("not asked")

    for payload in (b"\x93\xa1m" + DEEP, b"\x93\xa1\xff", b""):
        answer = msgspec.msgpack.decode(await answer_question(NoApi(), payload, 1 << 20))
        assert answer[0] == Code.MALFORMED

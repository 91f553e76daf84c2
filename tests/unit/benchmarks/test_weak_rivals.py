"""What the small clients of other systems read and write."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks.weaknet.mqtt import CONNACK, PUBACK, PUBLISH, QOS1, MqttPerson, packet, read_packet, string
from benchmarks.weaknet.socketio import SocketIoPerson
from benchmarks.weaknet.system import Watch


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384])
async def test_packets_of_mqtt_are_read_as_written(size: int) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(packet(PUBLISH, bytes(size)) + packet(CONNACK, b"\1\0"))
    assert await read_packet(reader) == (PUBLISH, bytes(size))
    assert await read_packet(reader) == (CONNACK, b"\1\0")


async def test_mqtt_keeps_what_is_not_acknowledged_and_counts_a_session_that_goes_on() -> None:
    came: list[str] = []
    person = MqttPerson("me", "host", 1, Watch(came.append), 60.0)
    person.send("you", "m1 xx")
    person._take(CONNACK, b"\0\0")
    person.watch.state(False)
    person._take(CONNACK, b"\1\0")
    assert (person.watch.logins, person.watch.resumed) == (2, 1)
    assert len(person._unacked) == 1
    person._take(PUBACK, (1).to_bytes(2, "big"))
    assert not person._unacked
    person._take(PUBLISH | QOS1, string("u/me") + b"\0\7" + b"m2 xx")
    assert came == ["m2"]


async def test_socket_io_comes_with_what_it_had_and_repeats_what_was_not_acknowledged() -> None:
    came: list[str] = []
    person = SocketIoPerson("me", "host", 1, Watch(came.append), 25.0)
    out: asyncio.Queue[str] = asyncio.Queue()
    person._take("0{}", out)
    assert out.get_nowait() == '40{"user": "me"}'
    person._take('40{"sid": "s", "pid": "p"}', out)
    person.send("you", "m1 xx")
    person._take('42["message", "m2 xx", "offset1"]', out)
    assert came == ["m2"]
    assert out.get_nowait() == '420["send", "you", "m1 xx"]'
    person.watch.state(False)
    person._take("0{}", out)
    assert json.loads(out.get_nowait()[2:]) == {"user": "me", "pid": "p", "offset": "offset1"}
    person._take('40{"sid": "s2", "pid": "p"}', out)
    assert person.watch.resumed == 1
    assert out.get_nowait() == '420["send", "you", "m1 xx"]'
    person._take("430[]", out)
    assert not person._unacked

"""Messages of a room that leave together say only what the one before did not; nobody misses anything."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
import zstandard

from frame import frames
from frame.constants import EventKind, FrameType, PreambleFlag
from im_service.models import message_bytes, pack_payload, room_event
from tests.support.gateway_client import WireClient, uv_get
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]
Said = tuple[str, int, int, int, str, bytes]  # room, seq, server id, time, sender, content
NOTICE = bytes([EventKind.NOTICE]) + msgspec.msgpack.encode(["room.enter", {}])
END = "the end"


def event(room: str, seq: int, server_id: int, time_ms: int, sender: str, text: str) -> bytes:
    payload = pack_payload(msgspec.msgpack.encode({"text": text}))
    return room_event(message_bytes(f"r/{room}", seq, server_id, time_ms, sender, "c-1", 0, payload))


class Heard:
    """What one client got, and what it cost."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.notices_before: list[int] = []
        self.bytes = 0  # of bodies
        self.batches: list[tuple[int, int]] = []  # messages and bytes of a frame that is not compressed

    def read(self, client: WireClient) -> Heard:
        while not self.said or self.said[-1][5] != END.encode():
            frame = client.next()
            body = bytes(frame.body)
            self.bytes += len(body)
            if frame.compressed:
                size, at = uv_get(body)
                body = zstandard.ZstdDecompressor().decompress(body[at:], max_output_size=size)
            if body == NOTICE:
                self.notices_before.append(len(self.said))
                continue
            room, messages = frames.parse_room_messages(body)
            self.said += [
                (room.decode(), m.seq, m.server_id, m.time_ms, m.sender.decode(), m.content) for m in messages
            ]
            if not frame.compressed:
                self.batches.append((len(messages), len(frames.build(FrameType.EVENT, body))))
        return self


def publish(gateway: GatewayHarness, topic: str, said: list[Said]) -> None:
    items = [(topic, int(FrameType.EVENT), event(*m[:5], m[5].decode()), 0, None) for m in said]
    gateway.gateway.publish_many(items)


def hall(start: Start, **settings: object) -> tuple[GatewayHarness, list[WireClient]]:
    """Six members: by flags and suites of all kinds, one over WebSocket."""
    gateway = start(large_topic=4, **settings)
    clients = [
        gateway.login(f"u{i}", suite=1 + i % 3, flags=i & PreambleFlag.ZSTD, websocket=i == 2)
        for i in range(6)
    ]
    for i in range(6):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/hall")
    return gateway, clients


@pytest.mark.parametrize("flush_bytes", [400, 16_000, 65_000])
def test_everything_of_every_message_arrives_whatever_it_is_joined_with(
    start_gateway: Start, flush_bytes: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    gateway, clients = hall(start_gateway, flush_messages=4096, flush_bytes=flush_bytes)
    said: list[Said] = []
    server_id, time_ms = 7 << 60, 1_700_000_000_000
    for n in range(1500):
        server_id = rng.choice((server_id + rng.randrange(1, 1 << 30), rng.randrange(1 << 63)))
        time_ms += rng.randrange(-5, 50)
        room = "hall" if n % 97 else "another"
        text = f"{n} " + "." * rng.choice((0, 1, 60, 200, 3000 if n % 50 == 0 else 5))
        said.append(
            (room, n if n % 3 == 0 else 0, server_id, time_ms, f"user-{rng.randrange(400)}", text.encode())
        )
    said.append(("hall", 0, 0, 0, "x" * 64, END.encode()))
    for i in range(0, len(said), 300):
        gateway.gateway.publish("r/hall", FrameType.EVENT, NOTICE)
        publish(gateway, "r/hall", said[i : i + 300])
    heard = [Heard().read(client) for client in clients]
    for one in heard:
        assert one.said == said
        assert one.notices_before == [0, 300, 600, 900, 1200, 1500]
    assert max(n for n, _ in heard[0].batches) > 1


def test_a_message_costs_twenty_bytes_behind_another_and_sixty_alone(start_gateway: Start) -> None:
    gateway, clients = hall(start_gateway)
    ids = [1 << 61 | n << 22 for n in range(200)]
    said = [("hall", 0, ids[n], 1_700_000_000_000 + n, f"speaker{n % 90:02}", b"x" * 60) for n in range(200)]
    publish(
        gateway, "r/hall", [*said, ("hall", 0, ids[-1] + 1, 1_700_000_000_200, "speaker00", END.encode())]
    )
    heard = Heard().read(clients[0])
    for n, size in heard.batches:
        assert size - 60 * n <= 60 + 20 * (n - 1)
    assert sum(n for n, _ in heard.batches) == 201
    assert max(n for n, _ in heard.batches) >= 32
    lone = len(
        frames.build(FrameType.EVENT, event("hall", 0, 1 << 62, 1_700_000_000_000, "speaker01", "x" * 60))
    )
    assert lone - 60 <= 60


def test_a_joined_batch_is_compressed_as_a_whole(start_gateway: Start) -> None:
    gateway, clients = hall(start_gateway)
    # Of one text again and again too little would be left: what shrinks to nothing is sent as it is.
    texts = [f"nobody here says anything new, {n * 7919 % 1000}".encode() for n in range(300)]
    said = [
        ("hall", 0, 1 << 61 | n << 22, 1_700_000_000_000 + n, "ann", text) for n, text in enumerate(texts)
    ]
    publish(gateway, "r/hall", [*said, ("hall", 0, 1 << 62, 0, "ann", END.encode())])
    plain, packed = Heard().read(clients[0]), Heard().read(clients[1])
    assert plain.said == packed.said
    assert packed.bytes < plain.bytes // 2


@pytest.mark.parametrize(
    "broken",
    [
        b"\x05",
        b"\x05\x04hall",
        b"\x05\x04hall\x01\x02\x02\x01\x02ab",  # by nobody
        b"\x05\x04hall\x01\x02\x02\x02a\x05ab",  # cut off
        b"\x05\x04hall\x01\x02\x02\x02a\x01a\x01\x02\x02\x01\x01b",  # two already
        b"\x05\x04hall\x07\x02\x02\x02a\x01a",  # a shape of a later version
    ],
)
def test_what_is_no_room_message_goes_its_way_as_it_is(start_gateway: Start, broken: bytes) -> None:
    gateway, clients = hall(start_gateway)
    good = event("hall", 0, 1, 1, "ann", "good")
    items = [("r/hall", int(FrameType.EVENT), each, 0, None) for each in (good, broken, broken, good, good)]
    gateway.gateway.publish_many(items)
    found: list[bytes] = []
    while b"".join(found).count(b"good") < 3:
        found.append(bytes(clients[0].next().body))
    assert found.count(broken) == 2

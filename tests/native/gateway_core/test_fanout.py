"""Every member gets every message of its membership, once, in order - while others come and go."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable

import pytest
import zstandard

from frame.constants import FrameType
from tests.support.gateway_client import WireClient, uv, uv_get, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]
END = 0xFFFFFFFF


def body(n: int, size: int = 24) -> bytes:
    return struct.pack(">BI", 1, n).ljust(size, b".")


def numbers_until_end(client: WireClient) -> list[int]:
    """The numbers of all messages before the one that says END."""
    out: list[int] = []
    while True:
        frame = client.next()
        assert frame.type in (FrameType.EVENT, FrameType.MSG)
        n = struct.unpack_from(">I", frame.body, 1)[0]
        if n == END:
            return out
        out.append(n)


@pytest.mark.parametrize("members", [3, 70])
@pytest.mark.parametrize("type", [FrameType.EVENT, FrameType.MSG])
def test_everybody_gets_everything_in_order(start_gateway: Start, members: int, type: int) -> None:
    gateway = start_gateway(loops=3)
    clients = [gateway.login(f"u{i}", suite=1 + i % 3, websocket=i % 5 == 0) for i in range(members)]
    for i in range(members):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/big")
    for n in range(500):
        gateway.gateway.publish("r/big", type, body(n))
    gateway.gateway.publish_many([("r/big", type, body(END), 0, None)])
    for client in clients:
        assert numbers_until_end(client) == list(range(500))


@pytest.mark.parametrize("members", [4, 40])
def test_the_excluded_member_alone_misses_a_message(start_gateway: Start, members: int) -> None:
    gateway = start_gateway(large_topic=16)
    clients = [gateway.login(f"u{i}") for i in range(members)]
    conns = [gateway.conn(f"u{i}") for i in range(members)]
    for conn in conns:
        gateway.gateway.join(conn, "g/1")
    for n in range(100):
        gateway.gateway.publish("g/1", FrameType.EVENT, body(n), 1, conns[n % members])
    gateway.gateway.publish("g/1", FrameType.EVENT, body(END), 1)
    for i, client in enumerate(clients):
        assert numbers_until_end(client) == [n for n in range(100) if n % members != i]


def test_all_devices_of_a_user_and_only_they(gateway: GatewayHarness) -> None:
    mine = [gateway.login("ann", f"d{i}") for i in range(20)]
    other = gateway.login("anna")
    for n in range(50):
        gateway.gateway.publish("u/ann", FrameType.MSG, body(n))
    mine[3].close()
    mine[7].close()
    gateway.wait_sessions(19)
    gateway.gateway.publish("u/ann", FrameType.MSG, body(END))
    for i, client in enumerate(mine):
        if i not in (3, 7):
            assert numbers_until_end(client) == list(range(50))
    other.ping()
    assert not other.frames


def test_many_users_come_and_go_and_are_still_found(start_gateway: Start) -> None:
    seed = time.time_ns()
    print("seed", seed)
    chance = random.Random(seed)
    gateway = start_gateway(loops=2)
    online: dict[str, WireClient] = {}
    for step in range(400):
        name = f"u{chance.randrange(150)}"
        if name in online:
            online.pop(name).close()
        else:
            online[name] = gateway.login(name)
        if step % 50 == 49:
            gateway.wait_sessions(len(online))
            for user in online:
                gateway.gateway.publish(f"u/{user}", FrameType.MSG, user.encode())
            for user, client in online.items():
                assert client.expect(FrameType.MSG) == user.encode()


@pytest.mark.parametrize("large", [8, 10_000])
@pytest.mark.parametrize("delay_ms", [0.0, 5.0])
def test_joining_and_leaving_at_random_never_disturbs_a_stream(
    start_gateway: Start, large: int, delay_ms: float
) -> None:
    seed = time.time_ns()
    print("seed", seed)
    chance = random.Random(seed)
    # tiny slices make every sweep stop in the middle many times
    gateway = start_gateway(
        loops=2, large_topic=large, sweep_budget_us=50, flush_max_delay_ms=delay_ms, flush_messages=16
    )
    gw = gateway.gateway
    count = 60
    clients = [gateway.login(f"u{i}", suite=3) for i in range(count)]
    conns = [gateway.conn(f"u{i}") for i in range(count)]
    stays: list[list[list[int]]] = [[] for _ in range(count)]
    inside: set[int] = set()
    for n in range(3000):
        if chance.random() < 0.3:
            who = chance.randrange(count)
            if who in inside:
                gw.leave(conns[who], "r/churn")
                inside.discard(who)
                stays[who][-1][1] = n
            else:
                gw.join(conns[who], "r/churn")
                inside.add(who)
                stays[who].append([n, 3000])
        gw.publish("r/churn", FrameType.EVENT, body(n))
    gw.publish("r/churn", FrameType.EVENT, body(END))
    got = {who: numbers_until_end(clients[who]) for who in inside}
    for who in set(range(count)) - inside:
        gw.send(conns[who], FrameType.EVENT, body(END))
        got[who] = numbers_until_end(clients[who])
    for who in range(count):
        at = 0
        for number, (first, end) in enumerate(stays[who]):
            took = 0
            while at < len(got[who]) and got[who][at] == first + took and got[who][at] < end:
                at += 1
                took += 1
            if number == len(stays[who]) - 1 and who in inside:
                assert took == end - first
            elif large == 10_000:
                assert took == end - first, "a small topic delivers all that was published before the leave"
        assert at == len(got[who]), (
            f"u{who}: unexpected {got[who][at : at + 5]} after {got[who][max(0, at - 3) : at]}"
        )


def fill_slots(gateway: GatewayHarness, count: int) -> list[socket.socket]:
    """Takes slots with connections that say nothing, so that members lie in several stripes."""
    before = gateway.stats()["live"]["connections"]
    taken = [socket.create_connection(("127.0.0.1", gateway.gateway.port)) for _ in range(count)]
    wait_for(lambda: gateway.stats()["live"]["connections"] == before + count, 30, "all accepted")
    return taken


@pytest.mark.parametrize("flush_messages", [1, 16])
def test_stripes_of_a_large_room_get_everything_once_in_order(
    start_gateway: Start, flush_messages: int
) -> None:
    """Members lie in three pages of slots with an empty one between; some join while sweeps stand in the
    middle, the first of them makes the last page, and the publisher of some messages is left out.
    """
    seed = time.time_ns()
    print("seed", seed)
    chance = random.Random(seed)
    gateway = start_gateway(
        loops=1,
        large_topic=8,
        sweep_budget_us=20,
        flush_messages=flush_messages,
        flush_max_delay_ms=2.0,
        auth_timeout_s=60,
    )
    gw = gateway.gateway
    clients: list[WireClient] = []
    silent: list[socket.socket] = []
    for page in (0, 2, 3):
        clients += [gateway.login(f"u{page}.{i}") for i in range(25)]
        silent += fill_slots(gateway, {0: 2023 + 2048, 2: 2023, 3: 0}[page])
    conns = [gateway.conn(f"u{page}.{i}") for page in (0, 2, 3) for i in range(25)]
    for one in silent:
        one.close()
    members = 50  # the last page comes into the room later
    for conn in conns[:members]:
        gw.join(conn, "r/stripes")
    gateway.joined(members)
    first = [0] * len(clients)
    for n in range(2000):
        if n % 20 == 10 and members < len(clients):
            gw.join(conns[members], "r/stripes")
            first[members] = n
            members += 1
        author = chance.randrange(len(clients)) if n % 7 == 0 else None
        gw.publish("r/stripes", FrameType.MSG, body(n), 1, 0 if author is None else conns[author])
        if author is not None:
            gw.send(conns[author], FrameType.EVENT, body(n))
    gw.publish("r/stripes", FrameType.MSG, body(END))
    for who, client in enumerate(clients):
        got = numbers_until_end(client)
        streamed = set(range(first[who], 2000))
        assert len(got) == len(set(got)), "twice"
        assert streamed <= set(got)
        assert all(n % 7 == 0 for n in set(got) - streamed), "from before its time"
        room = [n for n in got if n % 7]
        assert room == sorted(room)


def test_compressed_twins_reach_those_who_accept_them(start_gateway: Start) -> None:
    gateway = start_gateway(large_topic=4)
    text = b"\x01" + b"the same words again and again " * 40
    for members, topic in ((2, "r/small"), (8, "r/large")):
        clients = [gateway.login(f"{topic[2:]}{i}", flags=i & 1) for i in range(members)]
        for i in range(members):
            gateway.gateway.join(gateway.conn(f"{topic[2:]}{i}"), topic)
        gateway.gateway.publish_many(
            [(topic, FrameType.EVENT, text, 0, 0), (topic, FrameType.EVENT, b"\x01tiny", 0, 0)]
        )
        for i, client in enumerate(clients):
            first, second = client.next(), client.next()
            assert first.compressed == bool(i & 1)
            assert second.body == b"\x01tiny"
            if first.compressed:
                assert len(first.body) < len(text) // 4
                assert _inflate(bytes(first.body)) == text
            else:
                assert first.body == text


def _inflate(compressed: bytes) -> bytes:
    raw_len, at = uv_get(compressed)
    raw = zstandard.ZstdDecompressor().decompress(compressed[at:])
    assert len(raw) == raw_len
    return raw


def test_relay_inside_the_core(start_gateway: Start) -> None:
    gateway = start_gateway(loops=2, relay_prefix="r/")
    clients = [gateway.login(f"u{i}") for i in range(6)]
    for i in range(6):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/relay")
    gateway.joined(6)
    clients[0].frame(FrameType.SEND, uv(9) + b"\x07r/relay" + b"\x01payload")
    seen = {(frame.type, bytes(frame.body)) for frame in (clients[0].next(), clients[0].next())}
    assert seen == {(FrameType.EVENT, b"\x01payload"), (FrameType.SEND_ACK, uv(9) + uv(0))}
    for client in clients[1:]:
        assert client.expect(FrameType.EVENT) == b"\x01payload"
    assert gateway.stats()["relayed"] == 1


@pytest.mark.parametrize("large", [2, 1000])
def test_budgets_drop_normal_first_and_count(start_gateway: Start, large: int) -> None:
    gateway = start_gateway(large_topic=large)
    gateway.gateway.set_topic_budget("r/", 20, 10)
    client = gateway.login("ann")
    gateway.login("bob")
    for user in ("ann", "bob"):
        gateway.gateway.join(gateway.conn(user), "r/1")
    messages = [("r/1", int(FrameType.EVENT), body(n), 0, None) for n in range(15)]
    messages += [("r/1", int(FrameType.EVENT), body(100 + n), 1, None) for n in range(15)]
    messages += [("r/1", int(FrameType.EVENT), body(200 + n), 0, None) for n in range(15)]
    gateway.gateway.publish_many(messages)
    gateway.gateway.publish("r/1", FrameType.MSG, body(END))
    got = numbers_until_end(client)
    wait_for(lambda: gateway.stats()["live"]["batches"] == 0)
    stats = gateway.stats()
    assert got[:30] == [*range(15), *range(100, 115)]
    assert stats["dropped_budget_high"] == 0
    assert len(got) + stats["dropped_budget_normal"] == 45


def test_a_batch_of_several_records_in_one_write(start_gateway: Start) -> None:
    gateway = start_gateway(
        large_topic=2,
        flush_bytes=65_000,
        flush_messages=1000,
        flush_max_delay_ms=50.0,
        queue_event_bytes=1 << 20,  # the last client is read last
    )
    clients = [gateway.login(f"u{i}", suite=1 + i % 3, flags=i & 1, websocket=i == 2) for i in range(4)]
    for i in range(4):
        gateway.gateway.join(gateway.conn(f"u{i}"), "r/1")
    messages = [("r/1", int(FrameType.EVENT), body(n, 300), 0, None) for n in range(2000)]
    messages[1000:1000] = [("r/1", int(FrameType.EVENT), body(5000, 40_000), 0, None)]
    gateway.gateway.publish_many([*messages, ("r/1", int(FrameType.EVENT), body(END), 0, None)])
    for client in clients:
        got = [struct.unpack_from(">I", plain(client), 1)[0] for _ in range(2002)]
        assert got == [*range(1000), 5000, *range(1000, 2000), END]


def plain(client: WireClient) -> bytes:
    frame = client.next()
    return _inflate(bytes(frame.body)) if frame.compressed else bytes(frame.body)

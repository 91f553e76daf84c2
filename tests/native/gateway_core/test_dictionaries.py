"""Bodies by a trained dictionary: who holds the one of now gets them so, everybody else as before."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from random import Random

import pytest
import zstandard

from crypto.errors import CompressionFailed
from crypto.zstd import Compressor, dictionary_id
from frame import frames
from frame.constants import FLAG_COMPRESSED, CloseCode, FrameType, HelloTlv
from gateway_core import EV_SEND
from tests.support.gateway_client import ZSTD, Gone, WireClient, uv, uv_get, wait_for
from tests.support.gateway_harness import GatewayHarness

Start = Callable[..., GatewayHarness]
WORDS = [f"word{n}" for n in range(13)]


@pytest.fixture
def sender() -> str:
    return "auto"


def bodies(seed: int, count: int) -> list[bytes]:
    random = Random(seed)
    return [
        b"\x01"
        + f"{{'{random.choice(WORDS)}': '{random.choice(WORDS)} {n} {random.choice(WORDS)}'}}".encode() * 3
        for n in range(count)
    ]


def trained(seed: int, id: int) -> bytes:
    return zstandard.train_dictionary(4096, bodies(seed, 2000), dict_id=id).as_bytes()


FIRST, SECOND = trained(1, 40_001), trained(2, 40_002)
TEXT = bodies(3, 1)[0]


def named(client: WireClient) -> int:
    """The dictionary that message 2 names, 0: none."""
    at = 0
    while at < len(client.greeting):
        tag, at = uv_get(client.greeting, at)
        n, at = uv_get(client.greeting, at)
        if tag == HelloTlv.DICTIONARY:
            return uv_get(client.greeting[at : at + n])[0]
        at += n
    return 0


def wish(client: WireClient, id: int, use: int = 1) -> None:
    client.frame(FrameType.DICTIONARY, uv(id) + bytes([use]))
    assert client.ping() == uv(0)


def plain(body: bytes, dictionary: bytes | None = None) -> tuple[bytes, int]:
    """And the dictionary that its frame names."""
    raw_len, at = uv_get(body)
    by = zstandard.get_frame_parameters(body[at:]).dict_id
    expand = zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(dictionary) if dictionary else None)
    raw = expand.decompress(body[at:])
    assert len(raw) == raw_len
    return raw, by


def received(client: WireClient, dictionary: bytes | None = None) -> tuple[bytes, int]:
    frame = client.next()
    return plain(bytes(frame.body), dictionary) if frame.compressed else (bytes(frame.body), 0)


def applied(gateway: GatewayHarness, dictionary: bytes) -> None:
    gateway.gateway.set_dictionary(dictionary)
    probes = (f"probe{next(_PROBES)}{n}" for n in range(100))
    wait_for(
        lambda: (
            named(gateway.login(next(probes), flags=ZSTD)) == (dictionary_id(dictionary) if dictionary else 0)
        )
    )


_PROBES = itertools.count()


def test_who_holds_the_dictionary_gets_bodies_by_it_and_others_do_not(start_gateway: Start) -> None:
    gateway = start_gateway(loops=1, large_topic=6)
    applied(gateway, FIRST)
    clients = {
        name: gateway.login(name, flags=0 if name == "none" else ZSTD) for name in ("none", "zstd", "holds")
    }
    assert named(clients["holds"]) == 40_001
    for name in ("none", "holds"):  # the flag of the preamble is asked for first
        wish(clients[name], 40_001)
    for topic, more in (("r/small", 0), ("r/large", 5)):
        for name in clients:
            gateway.gateway.join(gateway.conn(name), topic)
        for n in range(more):
            gateway.login(f"more{n}", flags=n & 1)
            gateway.gateway.join(gateway.conn(f"more{n}"), topic)
        for kind in (FrameType.EVENT, FrameType.MSG):
            gateway.gateway.publish(topic, kind, TEXT)
            gateway.gateway.publish(topic, kind, b"\x01tiny")
            assert [received(clients["none"]) for _ in range(2)] == [(TEXT, 0), (b"\x01tiny", 0)]
            assert [received(clients["zstd"]) for _ in range(2)] == [(TEXT, 0), (b"\x01tiny", 0)]
            assert [received(clients["holds"], FIRST) for _ in range(2)] == [(TEXT, 40_001), (b"\x01tiny", 0)]


def test_a_small_body_is_halved(gateway: GatewayHarness) -> None:
    applied(gateway, FIRST)
    client = gateway.login("ann", flags=ZSTD)
    wish(client, 40_001)
    gateway.gateway.publish("u/ann", FrameType.EVENT, TEXT)
    frame = client.next()
    assert frame.compressed
    assert len(frame.body) < len(TEXT) / 2


def test_another_dictionary_is_used_by_those_alone_who_say_that_they_hold_it(gateway: GatewayHarness) -> None:
    applied(gateway, FIRST)
    old, new = gateway.login("old", flags=ZSTD), gateway.login("new", flags=ZSTD)
    for client in (old, new):
        wish(client, 40_001)
    applied(gateway, SECOND)
    wish(new, 40_002)
    wish(old, 40_001)  # not the one of now
    for user, client, expected in (("old", old, 0), ("new", new, 40_002)):
        gateway.gateway.publish(f"u/{user}", FrameType.EVENT, TEXT)
        assert received(client, SECOND) == (TEXT, expected)
    applied(gateway, b"")
    gateway.gateway.publish("u/new", FrameType.EVENT, TEXT)
    assert received(new) == (TEXT, 0)


def test_a_client_is_sent_the_dictionary_that_it_asks_for(gateway: GatewayHarness) -> None:
    applied(gateway, FIRST)
    applied(gateway, SECOND)
    client = gateway.login("ann")
    for id, dictionary in ((40_001, FIRST), (40_002, SECOND)):
        client.frame(FrameType.DICTIONARY, uv(id) + b"\0")
        assert client.expect(FrameType.DICTIONARY) == uv(id) + dictionary
    for unknown in (0, 7, 2**40 + 40_001):
        wish(client, unknown, 0)
        wish(client, unknown)
    assert client.ping() == uv(0)


def test_eight_are_kept_and_the_oldest_goes(gateway: GatewayHarness) -> None:
    client = gateway.login("ann")
    ids = range(41_000, 41_009)
    for id in ids:
        gateway.gateway.set_dictionary(trained(1, id))
    applied(gateway, FIRST)
    for id in ids:
        client.frame(FrameType.DICTIONARY, uv(id) + b"\0")
    told = []
    for _ in ids[2:]:
        told.append(uv_get(client.expect(FrameType.DICTIONARY))[0])
    assert told == list(ids[2:])
    assert client.ping() == uv(0)


def test_the_server_reads_what_is_compressed_by_any_that_it_keeps(gateway: GatewayHarness) -> None:
    applied(gateway, FIRST)
    applied(gateway, SECOND)
    client = gateway.login("ann")
    for dictionary in (FIRST, SECOND, None):
        raw = uv(1) + b"\x05u/bob" + TEXT * 4
        packed = Compressor(3, dictionary).compress(raw)
        body = uv(len(raw)) + packed
        client.send(bytes([FrameType.SEND | FLAG_COMPRESSED]) + uv(len(body)) + body)
        wait_for(lambda: len(gateway.of_kind(EV_SEND)) == 1)
        assert gateway.of_kind(EV_SEND)[0][-1] == TEXT * 4
        gateway.events.clear()


def test_what_is_compressed_by_a_dictionary_that_is_not_here_ends_the_connection(
    gateway: GatewayHarness,
) -> None:
    applied(gateway, FIRST)
    client = gateway.login("ann")
    raw = uv(1) + b"\x05u/bob" + TEXT * 4
    body = uv(len(raw)) + Compressor(3, SECOND).compress(raw)
    client.send(bytes([FrameType.SEND | FLAG_COMPRESSED]) + uv(len(body)) + body)
    assert client.expect(FrameType.CLOSE) == uv(CloseCode.NORMAL), "it comes again"
    assert gateway.reasons()["compressed"] == 1


@pytest.mark.parametrize("body", [b"", b"\x05", b"\x05\x02", b"\x05\x01\x00", b"\x80", b"\xff" * 11])
def test_a_wish_that_is_none_ends_the_connection(gateway: GatewayHarness, body: bytes) -> None:
    client = gateway.login("ann")
    client.send(frames.build(FrameType.DICTIONARY, body))
    with pytest.raises(Gone):
        client.ping()


def test_what_is_no_dictionary_is_refused(gateway: GatewayHarness) -> None:
    for bad in (b"words alone are none", FIRST[:100], b"\x37\xa4\x30\xec" + bytes(100)):
        with pytest.raises(CompressionFailed):
            gateway.gateway.set_dictionary(bad)
    with pytest.raises(ValueError, match="at most"):
        gateway.gateway.set_dictionary(FIRST + bytes(60_000))

"""Trust and places: what the pinned root vouches for, where to connect, what is remembered on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from qianwan.connection import lbs
from qianwan.delivery.store import FileCursor, Position
from qianwan.errors import ConnectFailed, KeySetError
from qianwan.protocol import keyset
from qianwan.transport import Address

from crypto import key_set as server_key_set
from tests.support.scripted_gateway import KeyRing


def root_bytes(ring: KeyRing) -> bytes:
    return ring.root.public_key().public_bytes_raw()


def test_every_damaged_byte_of_a_key_set_is_refused() -> None:
    ring = KeyRing()
    data, root = ring.key_set(), root_bytes(ring)
    assert keyset.verify(data, root).keys[0].key_id == 7
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(KeySetError):
            keyset.verify(bytes(damaged), root)
    for size in range(len(data)):
        with pytest.raises(KeySetError):
            keyset.verify(data[:size], root)
    with pytest.raises(KeySetError):
        keyset.verify(data, root_bytes(KeyRing()))


def test_the_youngest_valid_key_is_chosen() -> None:
    ring = KeyRing()
    entries = [
        server_key_set.KeyEntry(1, bytes([1]) * 32, 0, 100),
        server_key_set.KeyEntry(2, bytes([2]) * 32, 50, 150),
        server_key_set.KeyEntry(3, bytes([3]) * 32, 120, 900),
    ]
    keys = keyset.verify(server_key_set.build(ring.root.sign, 1, entries), root_bytes(ring))
    assert [keys.choose(now).key_id for now in (0, 49, 50, 99, 119, 120, 899)] == [1, 1, 2, 2, 2, 3, 3]
    with pytest.raises(KeySetError, match="clock"):
        keys.choose(900)


@pytest.mark.parametrize(
    "text", ["", "qwroot1.", "qwroot2." + "A" * 43, "qwroot1." + "A" * 42, "qwroot1.+" * 5]
)
def test_bad_roots_are_refused(text: str) -> None:
    with pytest.raises(KeySetError):
        keyset.parse_root(text)


def test_addresses() -> None:
    assert Address.parse("10.0.0.1:7801") == ("tcp", "10.0.0.1", 7801, "/qw1")
    assert Address.parse("gate", "ws") == ("ws", "gate", 7801, "/qw1")
    assert Address.parse("wss://gate/other") == ("wss", "gate", 443, "/other")
    assert Address.parse("[::1]:7").authority == "[::1]:7"
    for text in ("http://x", "tcp://", "tcp://x:99999"):
        with pytest.raises(ValueError, match=r"."):
            Address.parse(text)


def test_lbs_answers() -> None:
    answer = {
        "gateways": [{"host": "::1", "port": 7801, "transport": "ws", "path": "/qw1"}],
        "root": "qwroot1.x",
        "key_set": "abc",
        "suites": [3, 1],
        "ttl_s": 60,
        "later": 1,
    }
    placement = lbs.parse(json.loads(json.dumps(answer)))
    assert placement.addresses == (Address("ws", "::1", 7801),)
    assert (placement.suites, placement.ttl_s) == ((3, 1), 60.0)
    for broken in ({}, [], {"gateways": [{"host": "x"}]}, {"gateways": 3}):
        with pytest.raises(ConnectFailed):
            lbs.parse(broken)


def test_a_root_from_plain_http_is_believed_from_this_machine_only() -> None:
    assert lbs.trusted_for_root("https://lbs.example")
    assert lbs.trusted_for_root("http://127.0.0.1:7800")
    assert not lbs.trusted_for_root("http://lbs.example")


def test_the_subject_of_a_token_is_only_a_hint() -> None:
    assert lbs.subject_of("e30.eyJzdWIiOiJhbGljZSJ9.sig") == "alice"
    for text in ("", "abc", "a.b.c", "a.W10.c"):
        assert lbs.subject_of(text) == ""


def test_a_position_survives_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    store = FileCursor(tmp_path / "deep" / "cursor.json")
    assert store.load() == Position()
    position = Position("alice", 7, {"s/alice:bob": (3, 9)}, "keys")
    store.save(position)
    assert FileCursor(tmp_path / "deep" / "cursor.json").load() == position
    store.save(Position("alice", 8))
    assert store.load().cursor == 8
    assert os.listdir(tmp_path / "deep") == ["cursor.json"]
    (tmp_path / "deep" / "cursor.json").write_text("{half")
    assert store.load() == Position()

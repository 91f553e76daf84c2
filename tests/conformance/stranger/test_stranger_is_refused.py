"""Everything a gateway must refuse: bad credentials, what it does not serve, and bytes against the rules."""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.stranger.stranger_client import (
    ACK,
    AUTH,
    CALL,
    GOAWAY,
    PING,
    PONG,
    SEND,
    Closed,
    Rejected,
    Stranger,
    frame,
    read_key_set,
    uv,
)


def refused_login(realm: Any, **wrong: Any) -> int:
    one = Stranger.connect(realm.host, realm.port, realm.root)
    with pytest.raises(Closed) as caught:
        one.login(wrong.pop("token", None) or realm.token("alice"), **wrong)
    return caught.value.code


def test_bad_credentials_are_refused(realm: Any) -> None:
    assert refused_login(realm, token="not.a.token") == 4001
    assert refused_login(realm, token=realm.forged_token("alice")) == 4001
    assert refused_login(realm, token=realm.expired_token("alice")) == 4002
    assert refused_login(realm, binding=bytes(32)) == 4001
    assert refused_login(realm, device="not an id") == 0
    assert refused_login(realm, token=realm.token("alice", device="phone"), device="tablet") == 4001


def test_a_recorded_binding_is_worthless_elsewhere(realm: Any) -> None:
    first = Stranger.connect(realm.host, realm.port, realm.root)
    token = realm.token("alice")
    key = hashlib.sha256(token.encode()).digest()
    recorded = hmac.new(key, b"qw1 auth" + first.hash, "sha256").digest()
    assert refused_login(realm, token=token, binding=recorded) == 4001
    assert first.login(token, binding=recorded)[1] == "alice"


def test_a_newer_login_of_the_device_replaces_the_older(realm: Any) -> None:
    first = realm.meet("twice")
    second = realm.meet("twice")
    with pytest.raises(Closed) as caught:
        first.read()
    assert caught.value.code == 4003
    assert "server_time_ms" in second.call("time")


@pytest.mark.parametrize(
    ("preamble", "code"),
    [
        (b"QW\x09\x01\x01\x00\x00\x01", 1),
        (b"QW\x01\x04\x01\x00\x00\x01", 2),
        (b"QW\x01\x01\x09\x00\x00\x01", 2),
        (b"QW\x01\x01\x01\x80\x00\x01", 2),
        (b"QW\x01\x01\x01\x00\x00\x00", 3),
        (b"QW\x01\x01\x01\x00\xff\xfe", 3),
    ],
)
def test_what_is_not_served_is_rejected(realm: Any, preamble: bytes, code: int) -> None:
    one = Stranger(realm.host, realm.port)
    with pytest.raises(Rejected) as caught:
        one.handshake(1, 1, os.urandom(32), preamble)
    assert caught.value.code == code
    if code == 3:
        keys = read_key_set(caught.value.data, realm.root)
        assert keys.best()[1] == realm.keys.current(int(time.time())).public
        with pytest.raises(ValueError, match="root"):
            read_key_set(caught.value.data[:-1] + bytes([caught.value.data[-1] ^ 1]), realm.root)
    with pytest.raises(Closed):
        one.read_raw()


def test_message_1_for_another_key_is_dropped_without_a_word(realm: Any) -> None:
    one = Stranger(realm.host, realm.port)
    with pytest.raises(Closed):
        one.handshake(1, realm.keys.current(int(time.time())).key_id, os.urandom(32))


Misdeed = Callable[[Stranger], None]


def bad_record(one: Stranger) -> None:
    one.stream.write((40).to_bytes(2, "big") + os.urandom(40))


@pytest.mark.parametrize(
    ("misdeed", "codes"),
    [
        (bad_record, {0, 4000}),
        (lambda one: one.write(b"\x81\x00"), {0, 4000}),
        (lambda one: one.write(b"\x01\x05ab"), {0, 4000}),
        (lambda one: one.write(b"\x01\x80\x00"), {0, 4000}),
        (lambda one: one.write(frame(21)), {4000}),
        (lambda one: one.write(frame(GOAWAY, uv(0) * 3)), {4000}),
        (lambda one: one.write(frame(AUTH, b"again")), {4000}),
        (lambda one: one.write(frame(ACK, ack=7)), {4000}),
        (lambda one: one.write(frame(CALL, b"\x01")), {0, 4000}),
        (lambda one: one.write(frame(CALL, b"\x01\x00\x80")), {0, 4000}),
        (lambda one: one.write(frame(SEND, b"\x01\x00\x80")), {0, 4000}),
        (lambda one: one.write(b"\x08" + uv(61441) + bytes(61441)), {4006}),
    ],
    ids=[
        "aead",
        "reserved",
        "cut",
        "varint",
        "unknown",
        "direction",
        "auth",
        "ack",
        "short",
        "nothing",
        "nobody",
        "big",
    ],
)
def test_broken_rules_end_the_connection_and_harm_nobody(
    realm: Any, misdeed: Misdeed, codes: set[int]
) -> None:
    bystander = realm.meet("bystander")
    one = realm.meet("offender")
    misdeed(one)
    with pytest.raises(Closed) as caught:
        one.read()
    assert caught.value.code in codes
    assert "server_time_ms" in bystander.call("time")


def test_skippable_types_are_skipped(realm: Any) -> None:
    one = realm.meet("skipper")
    one.write(frame(24, b"later"), frame(31, bytes(100)), frame(PING))
    assert one.read().type == PONG


@pytest.mark.parametrize(
    "first",
    [frame(PING), frame(AUTH, b""), frame(AUTH, bytes(1200)), frame(CALL, b"\x01\x04time\x80")],
    ids=["ping", "empty", "large", "call"],
)
def test_anything_but_a_proper_auth_first_is_dropped(realm: Any, first: bytes) -> None:
    one = Stranger.connect(realm.host, realm.port, realm.root)
    one.write(first)
    with pytest.raises(Closed):
        one.read()

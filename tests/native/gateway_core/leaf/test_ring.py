"""What was sent and not acknowledged: everything behind a number; no memory while there is none."""

from __future__ import annotations

import random

import pytest
from msgspec.msgpack import encode
from tests.native.gateway_core.faces.leaf import UnackedRing, buffers_alive


def test_what_is_acknowledged_is_let_go_and_costs_nothing() -> None:
    before = buffers_alive()
    ring = UnackedRing(128, 1 << 18)
    assert ring.held == (0, False)
    for n in range(10):
        ring.push(b"%d" % n)
    assert ring.behind(7) == [b"7", b"8", b"9"]
    ring.ack(4)
    assert ring.held == (6, True)
    assert [n for n in range(12) if ring.reaches(n)] == list(range(4, 11))
    ring.ack(10)
    assert ring.held == (0, False)
    assert buffers_alive() == before


def test_the_oldest_gives_way_to_the_limits() -> None:
    ring = UnackedRing(5, 1 << 18)
    for n in range(20):
        ring.push(b"%d" % n)
    assert ring.held[0] == 5
    assert (ring.reaches(14), ring.reaches(15)) == (False, True)
    ring = UnackedRing(100, 1000)
    for n in range(20):
        ring.push(bytes([n]) * 198)
    assert ring.held[0] == 4
    assert ring.behind(16) == [bytes([n]) * 198 for n in range(16, 20)]
    ring.push(bytes(2000))
    assert ring.held == (0, False)
    assert (ring.reaches(20), ring.reaches(21)) == (False, True)
    ring.push(b"next")
    assert ring.behind(21) == [b"next"]


def test_pushes_and_acknowledgements_at_random_never_lose_what_must_be_there() -> None:
    rng = random.Random(11)
    ring, sent, acked = UnackedRing(16, 1 << 18), [], 0
    for _ in range(20_000):
        if rng.random() < 0.6:
            body = b"%d" % len(sent)
            ring.push(body)
            sent.append(body)
        else:
            acked = rng.randint(acked, len(sent))
            ring.ack(acked)
        oldest = max(acked, len(sent) - 16)
        assert ring.reaches(oldest)
        assert ring.behind(oldest) == sent[oldest:]
        assert oldest == 0 or not ring.reaches(oldest - 1)
    before = buffers_alive()
    del ring
    assert buffers_alive() <= before


def test_what_is_taken_back_in_a_conversation_is_let_go_with_all_before_it() -> None:
    before = buffers_alive()
    ring = UnackedRing(128, 1 << 18)
    long = "g/" + 40 * "x"
    for talk in ("s/ann:bob", "g/one", long, "s/ann:cy", "g/two"):
        ring.push(encode([talk, 1, "text"]))
    ring.erase(encode(["g/other", 9, "recall"]))
    ring.erase(encode([long + "y", 9, "recall"]))
    ring.erase(encode(["s/ann:bobby", 9, "recall"]))
    assert ring.reaches(0)
    ring.erase(encode(["g/one", 9, "recall"]))
    assert (ring.reaches(1), ring.reaches(2), ring.held[0]) == (False, True, 3)
    ring.erase(encode([long, 9, "recall"]))
    assert (ring.reaches(2), ring.reaches(3)) == (False, True)
    ring.erase(encode(["g/two", 9, "recall"]))
    assert ring.held == (0, False)
    assert (ring.reaches(4), ring.reaches(5)) == (False, True)
    assert buffers_alive() == before


@pytest.mark.parametrize("body", [b"", b"\x9b", b"\x9b\xd9", b"\x9b\xa9s/", b"\x9b\xd9\xffg/one", b"text"])
def test_where_no_conversation_can_be_told_all_is_let_go(body: bytes) -> None:
    ring = UnackedRing(128, 1 << 18)
    ring.push(encode(["g/one", 1]))
    ring.erase(body)
    assert ring.held == (0, False)
    ring.push(body)
    ring.erase(encode(["g/one", 1]))
    assert ring.held == (0, False)
    ring.push(encode(["g/one", 1]))
    ring.erase(encode(["g/two", 1]), type=7)  # an EVENT says it otherwise
    assert ring.held == (0, False)


def test_of_a_group_that_is_left_nothing_waits_and_nothing_before_it() -> None:
    ring = UnackedRing(128, 1 << 18)
    for talk in ("g/one", "g/team", "s/ann:bob"):
        ring.push(encode([talk, 1, "text"]))
    ring.forget(b"g/other")
    ring.forget(b"g/tea")
    assert ring.reaches(0)
    ring.forget(b"g/team")
    assert (ring.reaches(1), ring.reaches(2), ring.held[0]) == (False, True, 1)

"""Events leave in order, what does not fit waits; the bell rings once until somebody looked."""

from __future__ import annotations

import random
import select

from tests.native.gateway_core.faces.leaf import Bell, Ring


def readable(bell: Bell) -> bool:
    return bool(select.select([bell.fileno()], [], [], 0)[0])


def test_strings_arrive_as_they_were() -> None:
    ring = Ring(4)
    assert ring.push(3, 1 << 56 | 7, b"", b"user", b"\0device", b"x" * 70_000, b"end")
    assert ring.pop() == (3, 1 << 56 | 7, [b"", b"user", b"\0device", b"x" * 70_000, b"end"])
    assert ring.pop() is None


def test_none_is_lost_and_none_overtakes_when_the_ring_is_full() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    ring, sent, got = Ring(8), 0, []
    for _ in range(3000):
        if rng.random() < 0.5:
            assert ring.push(1, sent)
            sent += 1
        elif (event := ring.pop()) is not None:
            got.append(event[1])
        if rng.random() < 0.1:
            ring.settle()
    while not ring.settle() or ring.waiting():
        event = ring.pop()
        assert event is not None, f"seed {seed}"
        got.append(event[1])
    assert got == list(range(sent)), f"seed {seed}"


def test_the_ring_is_bounded_in_bytes_too_and_one_event_always_passes() -> None:
    ring = Ring(64, 1000)
    assert ring.push(1, 0, b"x" * 5000)
    assert ring.settle()
    for n in range(1, 4):
        assert ring.push(1, n, b"y" * 400)
    assert not ring.settle()  # the large one still lies there: everything else waits, and nobody reads
    assert ring.pop()[1] == 0
    assert not ring.settle()  # two of them fit
    assert [ring.pop()[1] for _ in range(2)] == [1, 2]
    assert ring.settle()
    assert ring.pop()[1] == 3


def test_what_waits_is_freed_with_the_ring() -> None:
    ring = Ring(2)
    for n in range(10):
        ring.push(1, n, b"held")
    assert ring.waiting()
    assert not ring.settle()
    del ring


def test_the_bell_rings_once_until_it_is_quiet() -> None:
    bell = Bell()
    assert not readable(bell)
    bell.ring()
    bell.ring()
    assert readable(bell)
    bell.quiet()
    assert not readable(bell)
    bell.ring()
    assert readable(bell)

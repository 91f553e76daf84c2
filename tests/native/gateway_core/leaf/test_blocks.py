"""Blocks of many sizes, side by side, that nobody else's bytes run into."""

from __future__ import annotations

import random
from itertools import pairwise

from tests.native.gateway_core.faces.leaf import Blockyard


def test_blocks_keep_their_bytes_through_any_order_of_taking_growing_and_freeing() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    yard, live = Blockyard(), {}
    for _ in range(20_000):
        if live and rng.random() < 0.4:
            at = rng.choice(list(live))
            content = live.pop(at)
            assert yard.read(at, len(content)) == content
            if rng.random() < 0.5:
                yard.free(at, len(content))
                continue
            grown = (content + rng.randbytes(700))[: rng.randrange(1, 700)]
            at, content = yard.resize(at, len(content), grown), grown
        else:
            content = rng.randbytes(rng.choice((8, 61, 62, 64, 65, 200, 511, 513, 4096)))
            at = yard.new(content)
        assert at % 8 == 0
        assert at not in live
        live[at] = content
    for at, content in live.items():
        assert yard.read(at, len(content)) == content
        yard.free(at, len(content))


def test_a_session_s_block_costs_what_it_holds_in_eights() -> None:
    yard = Blockyard()
    places = sorted(yard.new(bytes(61)) for _ in range(1000))
    steps = [after - before for before, after in pairwise(places)]
    assert steps.count(64) == len(steps)


def test_a_freed_block_serves_the_next_of_its_size() -> None:
    yard = Blockyard()
    first = yard.new(bytes(60))
    yard.new(bytes(60))
    yard.free(first, 60)
    assert yard.new(bytes(100)) != first
    assert yard.new(bytes(63)) == first

"""Ephemeral pairs are good, used once and leave no trace; a static key is found by its id."""

from __future__ import annotations

from nacl.bindings import crypto_scalarmult_base
from tests.native.gateway_core.faces.leaf import Pool, keys_found


def test_pairs_made_ahead_are_used_once_and_wiped() -> None:
    pool = Pool(8)
    assert (pool.fill(5), pool.fill(5), pool.fill(5)) == (5, 3, 0)
    seen = set()
    for _ in range(8):
        ready, private, public = pool.take()
        assert ready
        assert crypto_scalarmult_base(private) == public
        assert private not in pool.memory()
        seen.add(private)
    assert len(seen) == 8
    assert not any(pool.memory())


def test_an_empty_pool_makes_a_pair_on_the_spot() -> None:
    pool = Pool(0)
    ready, private, public = pool.take()
    assert not ready
    assert crypto_scalarmult_base(private) == public


def test_a_static_key_is_found_by_its_id_and_the_ring_is_wiped() -> None:
    assert keys_found([3, 7, 0xFFFF], 7) == (1, True)
    assert keys_found([3, 7, 0xFFFF], 0xFFFF) == (2, True)
    assert keys_found([3], 0) == (None, True), "an empty place is no key"

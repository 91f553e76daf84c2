"""Clients are divided over processes without a gap, an overlap or a split pair."""

from __future__ import annotations

import pytest

from benchmarks.loadgen.fleet import shares


@pytest.mark.parametrize("processes", [1, 2, 3, 7, 53])
@pytest.mark.parametrize(("members", "publishers"), [(5000, 4), (1, 1), (100_000, 10), (53, 0)])
def test_room_shares_cover_everyone_once(processes: int, members: int, publishers: int) -> None:
    parts = shares(members, publishers, processes, pair=False)
    assert sum(part.members for part in parts) == members
    assert sum(part.publishers for part in parts) == publishers
    first = publisher = 0
    for part in parts:
        assert part.first == first
        assert part.publisher == publisher
        first += part.members + part.publishers
        publisher += part.publishers


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_pairs_are_never_split(processes: int) -> None:
    parts = shares(1000, 0, processes, pair=True)
    assert sum(part.members for part in parts) == 1000
    for part in parts:
        assert part.first % 2 == 0
        assert part.members % 2 == 0
        assert part.publisher == part.first // 2

"""Who was told to leave is closed at its time, not before it, and once."""

from __future__ import annotations

import random

from tests.native.gateway_core.faces.leaf import LeaverList


def test_each_is_due_at_its_second_and_leaves_the_list() -> None:
    leavers = LeaverList()
    due = [random.Random(7).randint(1, 20) for _ in range(5_000)]
    for conn, second in enumerate(due):
        leavers.add(conn, second, 3000 + conn % 2)
    for now in range(1, 21):
        found = leavers.look(now, 100_000)
        assert sorted(found) == [(conn, 3000 + conn % 2) for conn, second in enumerate(due) if second == now]
    assert len(leavers) == 0


def test_a_look_in_parts_misses_nobody() -> None:
    leavers = LeaverList()
    for conn in range(1_000):
        leavers.add(conn, 5 if conn % 3 else 9, 1002)
    found = []
    while part := leavers.look(5, 7):
        found += part
    found += leavers.look(5, 10_000)
    assert sorted(conn for conn, _ in found) == [conn for conn in range(1_000) if conn % 3]
    assert leavers.look(5, 10_000) == []
    assert len(leavers.look(9, 10_000)) == 334

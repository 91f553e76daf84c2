"""A scan finds every deadline that is over, and none that is not, in slices of any size."""

from __future__ import annotations

import random

import pytest
from tests.native.gateway_core.faces.leaf import DeadlineScan

ROOM = 64


def scan(deadlines: DeadlineScan, high: int, now_s: int, slots: int) -> list[int]:
    found: list[int] = []
    assert deadlines.begin(high, now_s)
    while deadlines.scanning():
        found += deadlines.due(now_s, slots, ROOM)
    return found


@pytest.mark.parametrize("slots", [64, 100, 1000, 1 << 20])
def test_a_scan_finds_what_is_due_and_nothing_else(slots: int) -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    high, now_s = 5_000, 1_000
    deadlines, model = DeadlineScan(8_192), {}
    for slot in range(high):
        model[slot] = rng.choice((0, 0, 1, 999, 1_000, 1_001, 1 << 31))
        deadlines.set(slot, model[slot])
    due = [slot for slot, at in model.items() if 0 < at <= now_s]
    assert scan(deadlines, high, now_s, slots) == due, f"seed {seed}"


def test_slots_above_the_highest_used_are_not_looked_at() -> None:
    deadlines = DeadlineScan(256)
    deadlines.set(10, 5)
    deadlines.set(100, 5)
    assert scan(deadlines, 100, 9, 1 << 20) == [10]


def test_one_scan_a_second_and_a_running_one_goes_on() -> None:
    deadlines = DeadlineScan(1_024)
    for slot in range(1_000):
        deadlines.set(slot, 1)
    assert deadlines.begin(1_000, 7)
    assert deadlines.due(7, 64, ROOM) == list(range(64))
    assert deadlines.begin(1_000, 8), "the one of second 7 is not over"
    assert deadlines.due(8, 64, ROOM) == list(range(64, 128))
    while deadlines.scanning():
        deadlines.due(8, 1 << 20, ROOM)
    assert not deadlines.begin(1_000, 7)
    assert deadlines.begin(1_000, 9)


def test_an_earlier_deadline_stays() -> None:
    deadlines = DeadlineScan(64)
    deadlines.set(1, 50)
    deadlines.cap(1, 60)
    deadlines.set(2, 50)
    deadlines.cap(2, 40)
    assert scan(deadlines, 64, 45, 64) == [2]
    assert scan(deadlines, 64, 50, 64) == [1, 2]

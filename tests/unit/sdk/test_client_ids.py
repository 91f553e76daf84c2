"""Client ids of the SDK: unique, short enough, ordered by time."""

import itertools
import time

import pytest
from qianwan.delivery import outbox


def test_ids_are_unique_within_one_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_764_000_000_000_000_000)
    ids = {outbox.new_client_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert {len(made) for made in ids} == {24}


def test_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(1_764_000_000_000_000_000, 1_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    made = [outbox.new_client_id() for _ in range(500)]
    assert made == sorted(made)

"""Slots grow and lose any of them; the queue of ids keeps its order and says when it is full."""

from __future__ import annotations

import random
from collections import deque

from tests.native.gateway_core.faces.leaf import Ids, SlotList


def test_slots_are_what_was_pushed_less_what_was_taken() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    slots, model = SlotList(), []
    for n in range(3000):
        if model and rng.random() < 0.3:
            i = rng.randrange(len(model))
            slots.swap_out(i)
            model[i] = model[-1]
            model.pop()
        else:
            assert slots.push(n)
            model.append(n)
        if n % 100 == 0:
            assert slots.all() == model, f"seed {seed}"
    assert slots.all() == model, f"seed {seed}"


def test_ids_leave_in_the_order_they_came_and_no_more_than_fit() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    ids, model = Ids(7), deque[int]()
    for n in range(2000):
        if rng.random() < 0.5:
            assert ids.push(n << 32) == (len(model) < 7), f"seed {seed}"
            if len(model) < 7:
                model.append(n << 32)
        elif model:
            assert ids.pop() == model.popleft(), f"seed {seed}"
        assert len(ids) == len(model)

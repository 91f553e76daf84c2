"""When periodic work of a process is due."""

import asyncio
import itertools
import math
import os
import random

from control.ticks import next_tick, ticks


def test_the_next_tick_is_within_one_period() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(2000):
        now, period = chance.uniform(0, 1e7), chance.choice([0.05, 0.2, 1.0, 2.0, 60.0])
        due = next_tick(now, period, chance.randrange(1 << 22))
        assert now < due <= now + period * (1 + 1e-6)


def test_periods_that_divide_each_other_meet() -> None:
    every_second = {next_tick(1000.0 + n, 1.0, 4711) for n in range(60)}
    assert {next_tick(1000.0 + n, 2.0, 4711) for n in range(58)} <= every_second
    assert next_tick(1000.0, 60.0, 4711) in every_second


def test_processes_started_together_wake_apart() -> None:
    phases = sorted(next_tick(0.0, 2.0, 20_000 + n) for n in range(50))
    gaps = [after - before for before, after in itertools.pairwise([*phases, phases[0] + 2.0])]
    assert min(gaps) > 0.25 * 2.0 / 50
    assert max(gaps) < 4 * 2.0 / 50


async def test_ticks_come_once_each() -> None:
    """The next tick is a later one, also when a timer ends early by the clock's resolution."""
    loop = asyncio.get_running_loop()
    first = next_tick(loop.time(), 0.05, os.getpid())
    numbers: list[int] = []
    async for _ in ticks(0.05):
        numbers.append(math.floor((loop.time() + 1e-6 - first) / 0.05))
        if len(numbers) == 5:
            break
    assert all(before < after for before, after in itertools.pairwise(numbers))

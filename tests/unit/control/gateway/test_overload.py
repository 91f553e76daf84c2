"""Each step of the ladder is forced by each of its inputs, holds until they are clearly below, and goes one
down at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from control.gateway.easing import Easing
from control.gateway.overload import (
    EASE_AGES,
    EASE_EVENTS,
    EASE_READS,
    Gauge,
    Ladder,
    Load,
    eased_by,
    mean_wait_ms,
    memory_there,
    resident_bytes,
)
from control.settings.storms import STEPS, OverloadSection

SETTINGS = OverloadSection()
FORCED = [
    (name, step, getattr(SETTINGS, name)[step - 1])
    for name in Load._fields
    for step in range(1, STEPS + 1)
    if getattr(SETTINGS, name)[step - 1]
]


def look(ladder: Ladder, load: Load, seconds: int) -> list[int]:
    return [ladder.look(load, 1.0) for _ in range(seconds)]


@pytest.mark.parametrize(("name", "step", "threshold"), FORCED)
def test_each_input_forces_its_steps_after_a_while(name: str, step: int, threshold: float) -> None:
    ladder = Ladder(SETTINGS)
    over, below = Load(**{name: threshold}), Load(**{name: threshold * 0.999})
    assert look(ladder, below, 10)[-1] < step
    ladder = Ladder(SETTINGS)
    assert look(ladder, over, 2) == [0, 0], "a burst is no overload"
    assert look(ladder, over, 1) == [step]
    assert ladder.taken[step - 1] == 1


def test_every_step_can_be_forced() -> None:
    assert {step for _, step, _ in FORCED} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("name", "step", "threshold"), FORCED)
def test_a_step_holds_until_its_input_is_clearly_below(name: str, step: int, threshold: float) -> None:
    ladder = Ladder(SETTINGS)
    look(ladder, Load(**{name: threshold}), 3)
    assert set(look(ladder, Load(**{name: threshold * 0.85}), 60)) == {step}
    assert look(ladder, Load(), 9) == [step] * 9
    assert look(ladder, Load(), 1) == [step - 1], "one step down at a time"


def test_it_climbs_down_step_by_step_and_up_at_once() -> None:
    ladder = Ladder(SETTINGS)
    look(ladder, Load(memory_share=0.99), 3)
    assert ladder.step == 5
    assert sorted(set(look(ladder, Load(), 50)), reverse=True) == [5, 4, 3, 2, 1, 0]
    assert ladder.taken == [1, 1, 1, 1, 1]


def test_each_step_is_taken_for_seconds_of_its_own() -> None:
    ladder = Ladder(SETTINGS)
    first, fifth = Load(memory_share=0.81), Load(memory_share=0.96)
    assert [*look(ladder, first, 2), *look(ladder, fifth, 1)] == [0, 0, 1], "one look is no overload"
    assert look(ladder, fifth, 2) == [1, 5]


def test_what_flickers_is_no_overload() -> None:
    ladder = Ladder(SETTINGS)
    for _ in range(20):
        assert look(ladder, Load(queue_share=1.0), 2) == [0, 0]
        assert look(ladder, Load(), 1) == [0]


def test_a_threshold_of_0_is_never_reached() -> None:
    ladder = Ladder(SETTINGS)
    look(ladder, Load(loop_share=1.0), 100)
    assert ladder.step == 2, "a loop that is merely busy refuses nobody"


def test_what_the_core_eases() -> None:
    assert [eased_by(step) for step in range(6)] == [
        0,
        EASE_AGES,
        EASE_AGES | EASE_EVENTS,
        EASE_AGES | EASE_EVENTS,
        EASE_AGES | EASE_EVENTS | EASE_READS,
        EASE_AGES | EASE_EVENTS | EASE_READS,
    ]


def test_the_wait_of_a_byte_follows_from_the_turns() -> None:
    """Turns of 100 ms without a rest: 50 ms. One of them in a second: 5 ms. Many short ones: nothing."""
    assert mean_wait_ms({100_000_000: 10}, 1000) == pytest.approx(50)
    assert mean_wait_ms({100_000_000: 1}, 1000) == pytest.approx(5)
    assert mean_wait_ms({1_000_000: 1000}, 1000) == pytest.approx(0.5)
    assert mean_wait_ms({}, 1000) == mean_wait_ms({100: 1}, 0) == 0
    assert mean_wait_ms({1_000_000_000: 0, "over": 1}, 1000) > 400


def test_a_gauge_reads_what_was_between_two_looks() -> None:
    numbers: dict[str, Any] = {
        "turns": {10_000_000: 100, "over": 0},
        "turns_sum_ms": 500.0,
        "loops": 2,
        "max_mailbox_fill": 0.25,
        "max_events_fill": 0.5,
    }
    now = [10.0]
    gauge = Gauge(lambda: numbers, 1000, lambda: now[0], lambda: 900)
    assert gauge.read() == Load(0.0, 0.0, 0.9, 0.5), "nothing is known of a time before"
    now[0] += 1
    numbers = numbers | {"turns": {10_000_000: 300, "over": 0}, "turns_sum_ms": 2500.0}
    load = gauge.read()
    assert load.loop_share == 1.0
    assert load.wait_ms == pytest.approx(200 * 100 / 2 / 2000)


def test_memory_is_that_of_the_control_group_or_of_the_machine(tmp_path: Path) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal:       1000 kB\n")
    group = tmp_path / "memory.max"
    assert memory_there(group, machine) == 1_024_000
    group.write_text("max\n")
    assert memory_there(group, machine) == 1_024_000
    group.write_text("500000\n")
    assert memory_there(group, machine) == 500_000
    assert resident_bytes() > 1 << 20


class Full(Exception):
    """No command is taken now."""


class Eased:
    """Everybody whom the ladder asks for something."""

    def __init__(self) -> None:
        self.core: list[int] = []
        self.door: list[str] = []
        self.room: list[bool] = []
        self.stretch = 1.0
        self.load = Load()
        self.full = False
        self.now = 100.0

    def ease(self, what: int) -> None:
        if self.full:
            raise Full
        self.core.append(what)

    def hold(self, admit: str) -> None:
        self.door.append(admit)

    def make_room(self, on: bool) -> None:
        self.room.append(on)

    def read(self) -> Load:
        return self.load


def test_a_step_is_carried_out_and_taken_back() -> None:
    eased = Eased()
    parts: Any = eased
    easing = Easing(eased, parts, Ladder(SETTINGS), parts, parts, parts, (Full,), lambda: eased.now)

    def run(load: Load, seconds: int) -> tuple[int, str, bool, float]:
        eased.load = load
        for _ in range(seconds):
            eased.now += 1
            easing.tick()
        return eased.core[-1] if eased.core else 0, eased.door[-1], eased.room[-1], eased.stretch

    assert run(Load(), 5) == (0, "all", False, 1.0)
    assert run(Load(queue_share=0.9), 3) == (EASE_AGES | EASE_EVENTS, "known", False, 4.0)
    assert run(Load(memory_share=0.96), 3) == (EASE_AGES | EASE_EVENTS | EASE_READS, "known", True, 4.0)
    assert run(Load(), 60) == (0, "all", False, 1.0)
    assert easing.numbers()["max_step"] == 0
    assert easing.numbers()["taken"]["known only"] == 1
    eased.full = True
    assert run(Load(queue_share=1.0), 4) == (0, "known", False, 4.0), (
        "what needs no core is done all the same"
    )
    eased.full = False
    assert run(Load(queue_share=1.0), 1)[0] == EASE_AGES | EASE_EVENTS | EASE_READS, (
        "and the rest is tried again"
    )

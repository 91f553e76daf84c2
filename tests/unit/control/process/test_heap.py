"""When a gateway process gives memory back."""

from control.process.heap import QUIET_S, STEP, Trimmer

EVERY_S = 3.0
LOOKS = int(QUIET_S / EVERY_S)  # so many looks take QUIET_S


class Clock:
    """Looks every few seconds, with these numbers of connections."""

    def __init__(self) -> None:
        self._trimmer = Trimmer()
        self._now_s = 1000.0

    def looks(self, *connections: int) -> list[bool]:
        trimmed = []
        for count in connections:
            self._now_s += EVERY_S
            trimmed.append(self._trimmer.look(count, self._now_s))
        return trimmed


def test_once_after_a_storm_has_settled() -> None:
    clock = Clock()
    assert not any(clock.looks(*range(0, 20_000, 500)))
    settled = clock.looks(*[20_000] * (3 * LOOKS))
    assert settled.count(True) == 1
    assert settled.index(True) >= LOOKS


def test_small_comings_and_goings_are_not_worth_it() -> None:
    assert not any(Clock().looks(*[10, 40, 25, 60] * LOOKS))


def test_again_when_most_have_left() -> None:
    clock = Clock()
    clock.looks(*[20_000] * (LOOKS + 1))
    assert clock.looks(*[20_000 - STEP] * (LOOKS + 1)).count(True) == 1


def test_a_long_storm_is_waited_for() -> None:
    assert not any(Clock().looks(*range(0, 1_000 * LOOKS, 1_000)))

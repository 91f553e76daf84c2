"""When a gateway process gives memory back."""

from control.node.heap import QUIET_LOOKS, STEP, Trimmer


def looks(trimmer: Trimmer, *connections: int) -> list[bool]:
    return [trimmer.look(count) for count in connections]


def test_once_after_a_storm_has_settled() -> None:
    trimmer = Trimmer()
    assert not any(looks(trimmer, *range(0, 20_000, 500)))
    settled = looks(trimmer, *[20_000] * (3 * QUIET_LOOKS))
    assert settled.count(True) == 1
    assert settled.index(True) >= QUIET_LOOKS - 1


def test_small_comings_and_goings_are_not_worth_it() -> None:
    trimmer = Trimmer()
    assert not any(looks(trimmer, *[10, 40, 25, 60] * QUIET_LOOKS))


def test_again_when_most_have_left() -> None:
    trimmer = Trimmer()
    looks(trimmer, *[20_000] * (QUIET_LOOKS + 1))
    assert looks(trimmer, *[20_000 - STEP] * (QUIET_LOOKS + 1)).count(True) == 1


def test_a_long_storm_is_waited_for() -> None:
    trimmer = Trimmer()
    assert not any(looks(trimmer, *range(0, 1_000 * QUIET_LOOKS, 1_000)))

"""What a dead im process left has one heir, whoever looks."""

from __future__ import annotations

from control.im.heirs import is_heir


def test_of_each_dead_process_one_living_one_is_the_heir_and_of_the_living_nobody() -> None:
    living, readers = [1, 2, 3, 4], [1, 2, 4]  # the third one's store is away
    for node in range(1, 200):
        heirs = [own for own in living if is_heir(node, own, living, readers)]
        assert heirs == [] if node in living else len(heirs) == 1 and heirs[0] in readers
    assert not is_heir(9, 1, [], []), "nobody is known yet"

"""What readers hand on of trouble: bounded, whole, and of the event that it was."""

from __future__ import annotations

import pytest

from im_service.outbox.ports import NOTE_BYTES
from im_service.outbox.trouble import NO_TROUBLE, REFUSED_MOST, Refused, Trouble, from_note, to_note
from im_service.outbox.window import Rules, Window
from tests.unit.im_service.test_outbox_window import HOUR, event, ids, window


def test_a_note_is_read_as_it_was_written_under_the_same_beginning_alone() -> None:
    trouble = Trouble(5, {"e1": Refused(7, 2)})
    assert from_note(to_note(trouble, 3), 3) == trouble
    assert from_note(to_note(trouble, 3), 4) == NO_TROUBLE
    assert to_note(NO_TROUBLE, 3) == b""
    assert from_note(b"", 3) == NO_TROUBLE


def test_the_largest_note_is_within_its_bound() -> None:
    many = {f"{1 << 63}{number:03}" * 2: Refused(1 << 53, 1 << 53) for number in range(REFUSED_MOST)}
    assert len(to_note(Trouble(1 << 53, many), 1 << 53)) <= NOTE_BYTES
    with pytest.raises(ValueError, match="length"):
        from_note(to_note(Trouble(0, many | {"one more": Refused(0, 0)}), 0), 0)


def test_those_refused_for_longest_are_handed_on_and_those_of_before_come_last() -> None:
    before = Trouble(None, {f"old{number}": Refused(99 * HOUR, 5) for number in range(REFUSED_MOST)})
    made = Window("c0", 1, Rules(events=300, suspect=1_000, give_up_ms=1 << 40), before=before)
    count = REFUSED_MOST + 20
    made.add([event(number, f"k{number}") for number in range(1, count + 1)], f"c{count}")
    for number in range(1, count + 1):
        assert not made.refused(made.take(number), number)
    assert set(made.trouble(count).refused) == {f"e{number}" for number in range(1, REFUSED_MOST + 1)}
    few = window("a", batch=1)
    few.refused(few.take(0), 0)
    assert few.trouble(5) == Trouble(5, {"e1": Refused(5, 1)})


def test_what_was_not_asked_about_yet_is_handed_on_as_it_came() -> None:
    before = Trouble(9, {"e2": Refused(HOUR, 12)})
    made = Window("c0", 10, before=before)
    assert made.trouble(77) == before
    made.add([event(1, "a"), event(2, "a")], "c2")
    assert made.trouble(78) == before


def test_a_refusal_counts_for_the_event_that_it_was_of_and_not_for_the_next_one() -> None:
    """It was taken after all, and the process died before that was kept."""
    made = Window("c0", 1, before=Trouble(None, {"e1": Refused(24 * HOUR, 30)}))
    made.add([event(1, "a"), event(2, "a")], "c2")
    batch = made.take(0)
    assert ids(batch) == ["e1"]
    made.delivered(batch)
    assert made.trouble(0) == NO_TROUBLE
    assert not made.refused(made.take(0), 0), "it begins with its own first refusal"


def test_an_event_refused_for_a_day_before_is_given_up_at_its_next_refusal_and_waits_as_long_before() -> None:
    made = Window("c0", 1, before=Trouble(None, {"e1": Refused(24 * HOUR, 30)}))
    made.add([event(1, "a")], "c1")
    assert made.refused(made.take(0), 0)
    early = Window("c0", 1, before=Trouble(None, {"e1": Refused(HOUR, 30)}))
    early.add([event(1, "a")], "c1")
    assert not early.refused(early.take(0), 0)
    assert early.wakes_at() == HOUR
    assert early.trouble(5).refused == {"e1": Refused(HOUR + 5, 31)}

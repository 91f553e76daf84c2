"""A filter of kinds names what there is, or is refused with what was probably meant."""

from __future__ import annotations

import pytest

from im_service.outbox.kinds.catalogue import KINDS
from im_service.outbox.kinds.wanted import wanted_kinds
from im_service.outbox.ports import EventFilter


def test_every_kind_and_its_family_may_be_asked_for_and_passes() -> None:
    for kind in KINDS:
        family = f"{kind.partition('.')[0]}.*"
        assert EventFilter(wanted_kinds([kind])).takes(kind, None)
        assert EventFilter(wanted_kinds([family])).takes(kind, None)


def test_several_in_one_text_or_in_several_and_each_once() -> None:
    assert wanted_kinds(["message.*, session.login", "message.*"]) == ("message.*", "session.login")
    assert wanted_kinds([]) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mesage.single", "did you mean message.single?"),
        ("messages.*", "did you mean message.*?"),
        ("sesion.login", "did you mean session.login?"),
        ("message.single,", "has them all"),
        ("*", "has them all"),
        ("", "has them all"),
        ("message.*.x", "no kind of event"),
        ("..", "no kind of event"),
        ("@released", "no kind of event"),
    ],
)
def test_what_no_event_is_of_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="no kind of event") as refused:
        wanted_kinds([text])
    assert says in str(refused.value)

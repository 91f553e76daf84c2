"""What the fuzzer found worth keeping, read between guard pages by the built rooms and by the references."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from frame import frames, preamble, websocket
from frame.errors import MALFORMED, TOO_BIG, Malformed, TooBig
from tests.support import reference_frame, reference_web
from tests.support.frame_cases import CASES, Case
from tests.support.guard_page import Guarded, guarded
from tests.support.tree import ROOT

INPUTS = sorted((ROOT / "tests/fuzz/corpus").glob("*/*"))
BODIES = (
    (frames.parse_request, reference_frame.request),
    (frames.parse_reply, reference_frame.reply),
    (frames.parse_auth, reference_frame.auth),
    (frames.parse_ping, reference_frame.ping),
    (frames.parse_compressed, reference_frame.compressed),
    (frames.parse_room_messages, reference_frame.room_messages),
    (preamble.parse_tlvs, reference_frame.tlvs),
)


@pytest.fixture(scope="module")
def area() -> Iterator[Guarded]:
    with guarded() as found:
        yield found


def test_there_is_a_corpus() -> None:
    assert len(INPUTS) > 50


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_streaming_parsers_agree_on_the_corpus(area: Guarded, case: Case) -> None:
    for path in INPUTS:
        data = path.read_bytes()
        expected = case.reference(data)
        assert case.parse(area.at_end(data)) == expected, path.name
        assert case.parse(area.at_start(data)) == expected, path.name


def test_bodies_agree_on_the_corpus(area: Guarded) -> None:
    for path in INPUTS:
        data = path.read_bytes()
        assert websocket.parse_close(area.at_end(data)) == reference_web.ws_close(data), path.name
        for parse, reference in BODIES:
            expected = reference(data)
            try:
                found: object = parse(area.at_end(data))
            except Malformed:
                found = MALFORMED
            except TooBig:
                found = TOO_BIG
            assert found == (MALFORMED if expected is None else expected), path.name

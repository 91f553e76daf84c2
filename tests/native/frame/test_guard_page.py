"""No parser reads a byte outside of its input: on either side stands a page that cannot be read."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from frame import frames, preamble, websocket
from frame.errors import FrameError
from tests.support.frame_cases import CASES, Case
from tests.support.guard_page import Guarded, guarded

BODIES = (
    frames.parse_request,
    frames.parse_reply,
    frames.parse_auth,
    frames.parse_ping,
    frames.parse_compressed,
    frames.parse_room_messages,
    preamble.parse_tlvs,
    websocket.parse_close,
    websocket.utf8_valid,
)


@pytest.fixture(scope="module")
def area() -> Iterator[Guarded]:
    with guarded() as found:
        yield found


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_prefix_of_every_input_between_guard_pages(case: Case, area: Guarded) -> None:
    for data in case.valid + case.broken:
        cuts = range(len(data) + 1) if len(data) <= 600 else (*range(40), len(data) - 1, len(data))
        for cut in cuts:
            piece = data[:cut]
            expected = case.parse(piece)
            assert case.parse(area.at_end(piece)) == expected
            assert case.parse(area.at_start(piece)) == expected


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_random_bytes_against_the_guard_page(case: Case, area: Guarded) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(2000):
        base = bytearray(rng.choice(case.valid)[: rng.randrange(1, 80)])
        for _ in range(rng.randrange(4)):
            base[rng.randrange(len(base))] = rng.randrange(256)
        piece = bytes(base)
        assert case.parse(area.at_end(piece)) == case.reference(piece), f"seed {seed}: {piece.hex()}"


@pytest.mark.parametrize("parse", BODIES, ids=lambda f: f.__name__)
def test_bodies_against_the_guard_page(parse: object, area: Guarded) -> None:
    assert callable(parse)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(2000):
        piece = bytes(
            rng.choice((0, 1, 2, 3, 0x7F, 0x80, 0xC3, 0xE2, 0xF0, 0xFF)) for _ in range(rng.randrange(24))
        )
        outcomes = []
        for data in (piece, area.at_end(piece)):
            try:
                outcomes.append(parse(data))
            except FrameError as error:
                outcomes.append(type(error))
        assert outcomes[0] == outcomes[1], f"seed {seed}: {piece.hex()}"

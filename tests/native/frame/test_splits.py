"""However the bytes arrive, the verdict is the same: from one position on it is known and never changes."""

from __future__ import annotations

import pytest

from frame import frames, http_upgrade
from frame.errors import NEED_MORE
from tests.support.frame_cases import CASES, HANDSHAKE, Case

VALID = [pytest.param(c, d, id=f"{c.name}-{i}") for c in CASES for i, d in enumerate(c.valid)]
BROKEN = [pytest.param(c, d, id=f"{c.name}-{i}") for c in CASES for i, d in enumerate(c.broken)]


def positions(size: int) -> list[int]:
    """Every position of short inputs, the ends of long ones."""
    return list(range(size)) if size <= 4096 else [*range(64), *range(size - 64, size)]


@pytest.mark.parametrize(("case", "data"), VALID)
def test_a_valid_input_is_wanted_until_whole_and_then_taken(case: Case, data: bytes) -> None:
    whole = case.parse(data)
    assert whole[0] == len(data)
    for cut in positions(len(data)):
        assert case.parse(data[:cut]) == (NEED_MORE, None), f"at {cut}"


@pytest.mark.parametrize(("case", "data"), VALID)
def test_what_follows_does_not_matter(case: Case, data: bytes) -> None:
    whole = case.parse(data)
    for tail in (b"\x00", b"\xff" * 32, data):
        assert case.parse(data + tail) == whole


@pytest.mark.parametrize(("case", "data"), BROKEN)
def test_a_broken_input_stays_broken_however_it_goes_on(case: Case, data: bytes) -> None:
    verdict = case.parse(data)
    assert verdict[0] < 0
    known = [case.parse(data[:cut])[0] for cut in range(len(data))]
    first = next((i for i, code in enumerate(known) if code != NEED_MORE), len(data))
    assert set(known[first:]) <= {verdict[0]}
    for tail in (b"\x00", b"\xff" * 16, b"\r\n\r\n"):
        assert case.parse(data + tail) == verdict


def test_a_stream_of_frames_split_anywhere_gives_the_same_frames() -> None:
    stream = b"".join(frames.build(t, b"x" * (t * 40), ack=t if t % 2 else None) for t in range(1, 12))

    def fed(pieces: list[bytes]) -> list[object]:
        held = b""
        found: list[object] = []
        for piece in pieces:
            held += piece
            while True:
                used, frame = frames.parse(held)
                assert used >= 0
                if used == NEED_MORE:
                    break
                found.append(frame)
                held = held[used:]
        assert held == b""
        return found

    whole = fed([stream])
    assert len(whole) == 11
    assert fed([stream[i : i + 1] for i in range(len(stream))]) == whole
    for cut in range(len(stream)):
        assert fed([stream[:cut], stream[cut:]]) == whole


def test_an_upgrade_dripped_byte_by_byte_is_found_without_searching_again() -> None:
    for step in (1, 2, 3, 7):
        seen = 0
        for end in range(step, len(HANDSHAKE), step):
            assert http_upgrade.parse(HANDSHAKE[:end], seen=seen) == (NEED_MORE, None)
            seen = end
        assert http_upgrade.parse(HANDSHAKE, seen=seen) == http_upgrade.parse(HANDSHAKE)

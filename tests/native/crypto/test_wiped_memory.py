"""No secret of a handshake outlives it."""

from __future__ import annotations

import pytest

from crypto.errors import HandshakeFailed, HandshakeMisuse
from crypto.noise import HandshakeState, Initiator, generate_keypair, respond
from tests.support.noise_peer import SUITES

PATTERNS = ("NK", "NKpsk0", "NNpsk0")


def pair(pattern: str, suite: int) -> tuple[HandshakeState, HandshakeState]:
    private, public = generate_keypair()
    psk = b"p" * 32 if "psk" in pattern else None
    static = pattern.startswith("NK")
    return (
        HandshakeState(pattern, suite, True, b"wipe", rs=public if static else None, psk=psk),
        HandshakeState(pattern, suite, False, b"wipe", s=private if static else None, psk=psk),
    )


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_finished_handshake_is_all_zero(pattern: str, suite: int) -> None:
    initiator, responder = pair(pattern, suite)
    responder.read_message(initiator.write_message())
    initiator.read_message(responder.write_message())
    for side in (initiator, responder):
        assert not side.wiped
        side.split()
        assert side.wiped
        with pytest.raises(HandshakeMisuse):
            side.split()


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_failed_handshake_is_all_zero_and_stays_dead(pattern: str, suite: int) -> None:
    for good_messages in (0, 1):
        initiator, responder = pair(pattern, suite)
        first = initiator.write_message()
        victim = responder
        if good_messages:
            responder.read_message(first)
            responder.write_message()
            victim = initiator
        with pytest.raises(HandshakeFailed):
            victim.read_message(bytes(range(48)))
        assert victim.wiped
        with pytest.raises(HandshakeMisuse):
            victim.write_message()
        with pytest.raises(HandshakeMisuse):
            victim.read_message(first)
        with pytest.raises(HandshakeMisuse):
            victim.split()


@pytest.mark.parametrize("suite", SUITES)
def test_the_initiator_of_the_wire_is_all_zero_after_the_answer(suite: int) -> None:
    private, public = generate_keypair()
    initiator = Initiator(suite, b"wipe", public)
    assert not initiator.wiped
    answer = respond(suite, b"wipe", private, initiator.message).message
    initiator.finish(answer)
    assert initiator.wiped
    with pytest.raises(HandshakeFailed):
        initiator.finish(answer)


@pytest.mark.parametrize("suite", SUITES)
def test_the_initiator_of_the_wire_is_all_zero_after_a_failure(suite: int) -> None:
    initiator = Initiator(suite, b"wipe", generate_keypair()[1])
    with pytest.raises(HandshakeFailed):
        initiator.finish(bytes(48))
    assert initiator.wiped

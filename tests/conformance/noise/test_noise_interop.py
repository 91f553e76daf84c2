"""Live sessions with `noiseprotocol`, in both roles, random payloads, rekeys in both directions."""

from __future__ import annotations

import random
import struct

import pytest
from cryptography.exceptions import InvalidTag

from crypto.handshake import Channel
from crypto.noise import HandshakeState, Initiator, generate_keypair, respond
from tests.support.noise_peer import SUITES, Peer, seeded


def prologue_of(rng: random.Random, suite: int) -> bytes:
    return struct.pack(">2sBBBBH", b"QW", 1, 1, suite, rng.randrange(2), rng.randrange(1, 65536))


def talk(rng: random.Random, ours: Channel, peer: Peer, records: int) -> None:
    """Random records both ways; either side rekeys now and then."""
    for _ in range(records):
        plain = rng.randbytes(rng.choice((0, 1, 3, 16, 31, 32, 33, 64, 200, 1000)))
        if rng.random() < 0.5:
            assert peer.open(ours.tx.seal(plain)) == plain
            if rng.random() < 0.2:
                ours.tx.rekey()
                peer.rekey_rx()
        else:
            assert ours.rx.open(peer.seal(plain)) == plain
            if rng.random() < 0.2:
                peer.rekey_tx()
                ours.rx.rekey()


@pytest.mark.parametrize("suite", SUITES)
def test_our_responder_understands_noiseprotocol(suite: int) -> None:
    rng = seeded()
    for _ in range(8):
        private, public = generate_keypair()
        prologue = prologue_of(rng, suite)
        hello, answer = rng.randbytes(rng.randrange(513)), rng.randbytes(rng.randrange(200))
        peer = Peer(suite, prologue, remote=public)
        response = respond(suite, prologue, private, peer.write(hello), answer)
        assert response.payload == hello
        assert peer.read(response.message) == answer
        assert peer.handshake_hash == response.channel.handshake_hash
        talk(rng, response.channel, peer, 30)


@pytest.mark.parametrize("suite", SUITES)
def test_our_initiator_understands_noiseprotocol(suite: int) -> None:
    rng = seeded()
    for _ in range(8):
        private, public = generate_keypair()
        prologue = prologue_of(rng, suite)
        hello, answer = rng.randbytes(rng.randrange(513)), rng.randbytes(rng.randrange(200))
        peer = Peer(suite, prologue, static=private)
        ours = Initiator(suite, prologue, public, hello)
        assert peer.read(ours.message) == hello
        payload, channel = ours.finish(peer.write(answer))
        assert payload == answer
        assert peer.handshake_hash == channel.handshake_hash
        talk(rng, channel, peer, 30)


@pytest.mark.parametrize("suite", SUITES)
def test_step_by_step_states_understand_noiseprotocol(suite: int) -> None:
    rng = seeded()
    private, public = generate_keypair()
    responder = HandshakeState("NK", suite, False, b"step", s=private)
    peer = Peer(suite, b"step", remote=public)
    assert responder.read_message(peer.write(b"one")) == b"one"
    assert peer.read(responder.write_message(b"two")) == b"two"
    talk(rng, responder.split(), peer, 20)
    initiator = HandshakeState("NK", suite, True, b"step", rs=public)
    peer = Peer(suite, b"step", static=private)
    assert peer.read(initiator.write_message(b"one")) == b"one"
    assert initiator.read_message(peer.write(b"two")) == b"two"
    talk(rng, initiator.split(), peer, 20)


@pytest.mark.parametrize("suite", SUITES)
def test_a_peer_with_another_prologue_is_not_understood(suite: int) -> None:
    private, public = generate_keypair()
    good, bad = b"QW\x01\x01" + bytes([suite, 0, 0, 1]), b"QW\x01\x01" + bytes([suite, 1, 0, 1])
    ours = Initiator(suite, good, public)
    with pytest.raises(InvalidTag):
        Peer(suite, bad, static=private).read(ours.message)

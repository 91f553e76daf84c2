"""What a handshake must refuse: changed bytes, wrong prologues, low-order points, reflections, misuse."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult

from crypto.errors import AuthenticationFailed, HandshakeFailed, HandshakeMisuse, UnsupportedSuite
from crypto.noise import HandshakeState, Initiator, generate_keypair, public_key, respond
from tests.support.noise_peer import SUITES, seeded

PROLOGUE = b"QW\x01\x01\x01\x00\x00\x07"
# Every u-coordinate of low order, canonical and not (RFC 7748 section 6.1; cr.yp.to/ecdh.html).
P = 2**255 - 19
ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
LOW_ORDER = [n.to_bytes(32, "little") for n in (0, 1, *ORDER_8, P - 1, P, P + 1, 2**255, 2**255 + P)]


@pytest.mark.parametrize("suite", SUITES)
def test_a_changed_bit_anywhere_in_message_1_is_refused(suite: int) -> None:
    private, public = generate_keypair()
    message = Initiator(suite, PROLOGUE, public, b"payload").message
    for at in range(len(message)):
        # The top bit of the point e is masked by X25519 but hashed: it must be noticed too.
        for bit in (0, 7):
            changed = bytearray(message)
            changed[at] ^= 1 << bit
            with pytest.raises(HandshakeFailed):
                respond(suite, PROLOGUE, private, bytes(changed))


@pytest.mark.parametrize("suite", SUITES)
def test_a_changed_bit_anywhere_in_message_2_is_refused(suite: int) -> None:
    private, public = generate_keypair()
    ephemeral = generate_keypair()[0]
    answer = respond(
        suite, PROLOGUE, private, Initiator(suite, PROLOGUE, public, b"", ephemeral).message, b"node"
    )
    for at in range(len(answer.message)):
        for bit in (0, 7):
            changed = bytearray(answer.message)
            changed[at] ^= 1 << bit
            initiator = Initiator(suite, PROLOGUE, public, b"", ephemeral)
            with pytest.raises(HandshakeFailed):
                initiator.finish(bytes(changed))
            assert initiator.wiped


@pytest.mark.parametrize("suite", SUITES)
def test_messages_of_any_other_length_are_refused(suite: int) -> None:
    private, public = generate_keypair()
    first = Initiator(suite, PROLOGUE, public, b"hello")
    for size in range(len(first.message)):
        with pytest.raises(HandshakeFailed):
            respond(suite, PROLOGUE, private, first.message[:size])
    for longer in (
        first.message + b"\0",
        b"\0" + first.message,
        first.message * 30,
        first.message + bytes(70_000),
    ):
        with pytest.raises(HandshakeFailed):
            respond(suite, PROLOGUE, private, longer)
    answer = respond(suite, PROLOGUE, private, first.message).message
    for wrong in (b"", answer[:-1], answer[:31], answer[:47], answer + b"\0", answer + bytes(70_000)):
        with pytest.raises(HandshakeFailed):
            Initiator(suite, PROLOGUE, public, b"hello").finish(wrong)


@pytest.mark.parametrize("suite", SUITES)
def test_every_byte_of_the_prologue_counts(suite: int) -> None:
    private, public = generate_keypair()
    message = Initiator(suite, PROLOGUE, public).message
    for at in range(len(PROLOGUE)):
        other = bytearray(PROLOGUE)
        other[at] ^= 1
        with pytest.raises(HandshakeFailed):
            respond(suite, bytes(other), private, message)
    for other_length in (b"", PROLOGUE[:-1], PROLOGUE + b"\0"):
        with pytest.raises(HandshakeFailed):
            respond(suite, other_length, private, message)


def test_the_cipher_of_the_handshake_counts() -> None:
    private, public = generate_keypair()
    with pytest.raises(HandshakeFailed):
        respond(2, PROLOGUE, private, Initiator(1, PROLOGUE, public).message)
    with pytest.raises(HandshakeFailed):
        respond(1, PROLOGUE, private, Initiator(2, PROLOGUE, public).message)


def forged_message_1(server_public: bytes, point: bytes, shared: bytes) -> bytes:
    """Message 1 with this `e`, authentic to whoever computes `shared` from it."""
    h = ck = b"Noise_NK_25519_ChaChaPoly_SHA256"
    for data in (PROLOGUE, server_public, point):
        h = hashlib.sha256(h + data).digest()
    temp = hmac.digest(ck, shared, "sha256")
    key = hmac.digest(temp, hmac.digest(temp, b"\x01", "sha256") + b"\x02", "sha256")
    return point + ChaCha20Poly1305(key).encrypt(bytes(12), b"", h)


def test_the_forger_writes_what_an_honest_initiator_would() -> None:
    (private, public), (mine, point) = generate_keypair(), generate_keypair()
    assert respond(1, PROLOGUE, private, forged_message_1(public, point, crypto_scalarmult(mine, public)))


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda p: p[::-1].hex()[:8])
@pytest.mark.parametrize("suite", [1, 3])
def test_a_low_order_ephemeral_is_refused_though_its_message_is_authentic(suite: int, point: bytes) -> None:
    private, public = generate_keypair()
    with pytest.raises(HandshakeFailed):
        respond(suite, PROLOGUE, private, forged_message_1(public, point, bytes(32)))


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda p: p[::-1].hex()[:8])
@pytest.mark.parametrize("suite", SUITES)
def test_a_low_order_server_key_is_refused(suite: int, point: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        Initiator(suite, PROLOGUE, point)
    with pytest.raises(HandshakeFailed):
        HandshakeState("NK", suite, True, PROLOGUE, rs=point).write_message()


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda p: p[::-1].hex()[:8])
def test_a_low_order_answer_is_refused(point: bytes) -> None:
    initiator = Initiator(1, PROLOGUE, generate_keypair()[1])
    with pytest.raises(HandshakeFailed):
        initiator.finish(point + bytes(16))
    assert initiator.wiped


@pytest.mark.parametrize("suite", SUITES)
def test_reflected_messages_are_refused(suite: int) -> None:
    private, public = generate_keypair()
    initiator = Initiator(suite, PROLOGUE, public)
    with pytest.raises(HandshakeFailed):
        initiator.finish(initiator.message)
    initiator = Initiator(suite, PROLOGUE, public)
    response = respond(suite, PROLOGUE, private, initiator.message)
    with pytest.raises(HandshakeFailed):
        respond(suite, PROLOGUE, private, response.message)
    _, channel = initiator.finish(response.message)
    sealed = channel.tx.seal(b"back to you")
    with pytest.raises(AuthenticationFailed):
        channel.rx.open(sealed)


@pytest.mark.parametrize("suite", SUITES)
def test_a_replayed_first_message_opens_no_old_session(suite: int) -> None:
    """Message 1 can be replayed; the keys that follow are others, so nothing recorded decrypts."""
    private, public = generate_keypair()
    initiator = Initiator(suite, PROLOGUE, public, b"hi")
    first = respond(suite, PROLOGUE, private, initiator.message)
    _, channel = initiator.finish(first.message)
    recorded = channel.tx.seal(b"AUTH")
    again = respond(suite, PROLOGUE, private, initiator.message)
    assert again.message != first.message
    assert again.channel.handshake_hash != first.channel.handshake_hash
    with pytest.raises(AuthenticationFailed):
        again.channel.rx.open(recorded)
    assert first.channel.rx.open(recorded) == b"AUTH"


@pytest.mark.parametrize("suite", SUITES)
def test_another_servers_answer_is_refused(suite: int) -> None:
    (_, public), (other, _) = generate_keypair(), generate_keypair()
    initiator = Initiator(suite, PROLOGUE, public)
    with pytest.raises(HandshakeFailed):
        respond(suite, PROLOGUE, other, initiator.message)


@pytest.mark.parametrize("pattern", ["NKpsk0", "NNpsk0"])
@pytest.mark.parametrize("suite", SUITES)
def test_another_psk_is_refused(pattern: str, suite: int) -> None:
    private, public = generate_keypair()
    static = {"s": private} if pattern == "NKpsk0" else {}
    remote = {"rs": public} if pattern == "NKpsk0" else {}
    message = HandshakeState(pattern, suite, True, psk=bytes(32), **remote).write_message(b"resume")
    responder = HandshakeState(pattern, suite, False, psk=bytes(31) + b"\1", **static)
    with pytest.raises(HandshakeFailed):
        responder.read_message(message)
    assert responder.wiped


def test_random_bytes_are_refused() -> None:
    rng = seeded()
    private, public = generate_keypair()
    for _ in range(300):
        noise = rng.randbytes(rng.randrange(600))
        with pytest.raises(HandshakeFailed):
            respond(rng.choice(SUITES), PROLOGUE, private, noise)
        with pytest.raises(HandshakeFailed):
            Initiator(rng.choice(SUITES), PROLOGUE, public).finish(noise)


def test_calls_out_of_turn_are_our_own_fault() -> None:
    private, public = generate_keypair()
    initiator = HandshakeState("NK", 1, True, PROLOGUE, rs=public)
    responder = HandshakeState("NK", 1, False, PROLOGUE, s=private)
    for call in (initiator.split, responder.write_message, lambda: initiator.read_message(bytes(48))):
        with pytest.raises(HandshakeMisuse):
            call()
    responder.read_message(initiator.write_message())
    for call in (initiator.write_message, responder.split, lambda: responder.read_message(bytes(48))):
        with pytest.raises(HandshakeMisuse):
            call()
    initiator.read_message(responder.write_message())
    assert initiator.complete
    assert responder.complete
    for call in (initiator.write_message, lambda: responder.read_message(bytes(48))):
        with pytest.raises(HandshakeMisuse):
            call()


def test_missing_keys_and_unknown_suites_are_refused() -> None:
    private, public = generate_keypair()
    with pytest.raises(HandshakeMisuse):
        HandshakeState("NK", 1, True)
    with pytest.raises(HandshakeMisuse):
        HandshakeState("NK", 1, False, rs=public)
    with pytest.raises(HandshakeMisuse):
        HandshakeState("NKpsk0", 1, False, s=private)
    with pytest.raises(HandshakeMisuse):
        HandshakeState("NNpsk0", 1, True)
    with pytest.raises(KeyError):
        HandshakeState("XX", 1, True)
    for suite in (0, 4):
        with pytest.raises(UnsupportedSuite):
            HandshakeState("NK", suite, True, rs=public)
        with pytest.raises(UnsupportedSuite):
            respond(suite, PROLOGUE, private, bytes(48))
        with pytest.raises(UnsupportedSuite):
            Initiator(suite, PROLOGUE, public)
    for short in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="32 bytes"):
            public_key(short)
        with pytest.raises(ValueError, match="32 bytes"):
            Initiator(1, PROLOGUE, short)

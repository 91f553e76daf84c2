"""The handshakes of QW1 in one call on each turn, NK for Python too (Noise rev 34; bytes in docs/PROTOCOL.md)."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memset

from cmodules cimport layout
from crypto.aead cimport CipherState, aead_tag_size
from crypto.handshake cimport (
    NOISE_MAX_PAYLOAD,
    NOISE_MAX_PROLOGUE,
    NOISE_MESSAGE_OVERHEAD,
    NOISE_PATTERN_NK,
    Handshake,
    Shared,
    channel,
    handshake_init,
    handshake_read,
    handshake_split,
    handshake_write,
    key32,
    x25519_keypair,
)
from crypto.sodium cimport sodium
from crypto.symmetric cimport HASH_BYTES

from typing import NamedTuple

from crypto.errors import HandshakeFailed, UnsupportedSuite
from crypto.handshake import Channel, HandshakeState, generate_keypair, public_key

LAYOUT = layout()


cdef int noise_respond(
    int pattern, int suite, const uint8_t* prologue, size_t prologue_len, const uint8_t* s_priv, const uint8_t* s_pub,
    const uint8_t* psk, const uint8_t* e_priv, const uint8_t* e_pub, const Shared* ahead, const uint8_t* msg1,
    size_t msg1_len, uint8_t* payload1, size_t* payload1_len, const uint8_t* payload2, size_t payload2_len, uint8_t* msg2,
    CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil:
    cdef Handshake hs
    cdef int got = -1, written = -1
    payload1_len[0] = 0
    if handshake_init(&hs, pattern, suite, 0, prologue, prologue_len, s_priv, s_pub, e_priv, e_pub, NULL, psk) == 0:
        hs.ahead = ahead
        got = handshake_read(&hs, msg1, msg1_len, payload1)
    if got >= 0:
        written = handshake_write(&hs, payload2, payload2_len, msg2)
    if written < 0 or handshake_split(&hs, rx, tx, hash32) < 0:
        sodium.memzero(&hs, sizeof(Handshake))
        memset(rx, 0, sizeof(CipherState))
        memset(tx, 0, sizeof(CipherState))
        memset(hash32, 0, HASH_BYTES)
        return -1
    payload1_len[0] = got
    return written


cdef int noise_start(
    int pattern, int suite, const uint8_t* prologue, size_t prologue_len, const uint8_t* rs_pub, const uint8_t* psk,
    const uint8_t* e_priv, const uint8_t* e_pub, const uint8_t* payload1, size_t payload1_len,
    uint8_t* msg1, NoiseInitiator* st) noexcept nogil:
    cdef int written = -1
    if handshake_init(&st.handshake, pattern, suite, 1, prologue, prologue_len, NULL, NULL, e_priv, e_pub,
                      rs_pub, psk) == 0:
        written = handshake_write(&st.handshake, payload1, payload1_len, msg1)
    if written < 0:
        noise_wipe(st)
    return written


cdef int noise_finish(
    int suite, NoiseInitiator* st, const uint8_t* msg2, size_t len, uint8_t* payload2, size_t* payload2_len,
    CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil:
    cdef int got = -1
    payload2_len[0] = 0
    if st.handshake.suite == suite and st.handshake.step == 1:
        got = handshake_read(&st.handshake, msg2, len, payload2)
    if got < 0 or handshake_split(&st.handshake, rx, tx, hash32) < 0:
        noise_wipe(st)
        memset(rx, 0, sizeof(CipherState))
        memset(tx, 0, sizeof(CipherState))
        memset(hash32, 0, HASH_BYTES)
        return -1
    payload2_len[0] = got
    return 0


cdef void noise_wipe(NoiseInitiator* st) noexcept nogil:
    sodium.memzero(st, sizeof(NoiseInitiator))


cdef int noise_keypair(uint8_t* priv, uint8_t* pub) noexcept nogil:
    return x25519_keypair(priv, pub)


class Response(NamedTuple):
    """The responder's side of a handshake: the payload of message 1, message 2 to send, the channel."""

    payload: bytes
    message: bytes
    channel: Channel


cdef int _check(int suite, bytes prologue, bytes payload) except -1:
    if aead_tag_size(suite) < 0:
        raise UnsupportedSuite(f"suite {suite} is not available")
    if len(payload) > NOISE_MAX_PAYLOAD or len(prologue) > NOISE_MAX_PROLOGUE:
        raise ValueError("the payload or the prologue is too long")
    return 0


def respond(int suite, bytes prologue not None, bytes s_priv not None, bytes message not None,
            bytes payload not None=b"", e_priv=None) -> Response:
    """The responder's NK handshake. `e_priv` fixes the ephemeral key (vectors); None draws one.

    Raises HandshakeFailed for whatever the peer sent wrong, UnsupportedSuite, ValueError for our own arguments.
    """
    cdef CipherState rx, tx
    cdef uint8_t digest[HASH_BYTES]
    cdef size_t got = 0
    cdef int written
    _check(suite, prologue, payload)
    e_priv = generate_keypair()[0] if e_priv is None else e_priv
    s_pub, e_pub = public_key(s_priv), public_key(e_priv)
    payload1, message2 = bytearray(max(len(message), 1)), bytearray(NOISE_MESSAGE_OVERHEAD + len(payload))
    written = noise_respond(
        NOISE_PATTERN_NK, suite, prologue, len(prologue), key32(s_priv, "s_priv"), key32(s_pub, "s_pub"), NULL,
        key32(e_priv, "e_priv"), key32(e_pub, "e_pub"), NULL, message, len(message),
        payload1, &got, payload, len(payload), message2, &rx, &tx, digest)
    if written < 0:
        raise HandshakeFailed("message 1 was refused")
    return Response(bytes(payload1[:got]), bytes(message2[:written]), channel(suite, &rx, &tx, digest))


@cython.final
cdef class Initiator:
    """The initiator's NK handshake: `message` goes out, `finish` takes the answer."""

    cdef NoiseInitiator state
    cdef readonly int suite
    cdef readonly bytes message

    def __cinit__(self, int suite, bytes prologue not None, bytes rs_pub not None, bytes payload not None=b"",
                  e_priv=None):
        cdef int written
        _check(suite, prologue, payload)
        self.suite = suite
        e_priv = generate_keypair()[0] if e_priv is None else e_priv
        e_pub = public_key(e_priv)
        out = bytearray(NOISE_MESSAGE_OVERHEAD + len(payload))
        written = noise_start(
            NOISE_PATTERN_NK, suite, prologue, len(prologue), key32(rs_pub, "rs_pub"), NULL, key32(e_priv, "e_priv"),
            key32(e_pub, "e_pub"), payload, len(payload), out, &self.state)
        if written < 0:
            raise HandshakeFailed("the server's public key is of low order")
        self.message = bytes(out[:written])

    def __dealloc__(self):
        noise_wipe(&self.state)

    @property
    def wiped(self) -> bool:
        """True once no byte of the handshake's secrets is left."""
        return not any((<const char*> &self.state)[: sizeof(NoiseInitiator)])

    def finish(self, bytes message not None) -> tuple[bytes, Channel]:
        """Read message 2: its payload and the channel. Raises HandshakeFailed; the state is wiped either way."""
        cdef CipherState rx, tx
        cdef uint8_t digest[HASH_BYTES]
        cdef size_t got = 0
        payload = bytearray(max(len(message), 1))
        if noise_finish(self.suite, &self.state, message, len(message), payload, &got, &rx, &tx, digest) < 0:
            raise HandshakeFailed("message 2 was refused")
        return bytes(payload[:got]), channel(self.suite, &rx, &tx, digest)

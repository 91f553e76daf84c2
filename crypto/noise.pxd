# The handshakes of the wire: NK, and NKpsk0 and NNpsk0 behind a ticket. The responder in one call, the initiator in two. The suites ChaChaPoly and AEGIS-128L shake hands
# with ChaChaPoly, AESGCM with AESGCM; the keys of Split() then serve the transport of the suite.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from crypto.aead cimport CipherState
from crypto.handshake cimport NOISE_MAX_PAYLOAD, NOISE_MAX_PROLOGUE, NOISE_MESSAGE_OVERHEAD, Handshake, Shared

# What an initiator keeps between its message and the answer; wiped by noise_finish, or by noise_wipe.
cdef struct NoiseInitiator:
    Handshake handshake

# The responder's whole handshake in one call: reads message 1, writes message 2 (48 + payload2_len bytes), splits.
# Returns the length of message 2, or -1 on any failure; rx, tx and hash32 are zero then. Nothing else survives, so
# an unauthenticated peer costs no memory between calls. `payload1` must have room for msg1_len - 48 bytes; `e_priv`
# is good for this one call, the caller wipes it. Keys that the pattern does not use are NULL, and so is `ahead` of a
# caller that did not compute the products with crypto.x25519 among those of others.
cdef int noise_respond(
    int pattern, int suite, const uint8_t* prologue, size_t prologue_len, const uint8_t* s_priv, const uint8_t* s_pub,
    const uint8_t* psk, const uint8_t* e_priv, const uint8_t* e_pub, const Shared* ahead, const uint8_t* msg1,
    size_t msg1_len, uint8_t* payload1, size_t* payload1_len, const uint8_t* payload2, size_t payload2_len, uint8_t* msg2,
    CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil

# Writes message 1 (48 + payload1_len bytes) and fills `st`. Returns its length or -1 (`st` is wiped then).
cdef int noise_start(
    int pattern, int suite, const uint8_t* prologue, size_t prologue_len, const uint8_t* rs_pub, const uint8_t* psk,
    const uint8_t* e_priv, const uint8_t* e_pub, const uint8_t* payload1, size_t payload1_len,
    uint8_t* msg1, NoiseInitiator* st) noexcept nogil

# Reads message 2 and splits. Returns 0, or -1 on any failure; `st` is wiped either way. `payload2` must have room
# for len - 48 bytes.
cdef int noise_finish(
    int suite, NoiseInitiator* st, const uint8_t* msg2, size_t len, uint8_t* payload2, size_t* payload2_len,
    CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil

# For an initiator that gives up before the answer.
cdef void noise_wipe(NoiseInitiator* st) noexcept nogil

# A random X25519 pair. 0, or -1 (never with a healthy libsodium).
cdef int noise_keypair(uint8_t* priv, uint8_t* pub) noexcept nogil

# Noise rev 34 over 25519 and SHA256. Suites: SUITE_CHACHAPOLY and SUITE_AEGIS128L shake hands with ChaChaPoly,
# SUITE_AESGCM with AESGCM; Split() then makes the transport keys of the suite.
#
# Only NK is offered on the wire; NKpsk0 and NNpsk0 are complete here and proven by vectors.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from crypto.aead cimport CipherState
from crypto.symmetric cimport SymmetricState

cdef enum:
    NOISE_PATTERN_NK = 1
    NOISE_PATTERN_NKPSK0 = 2
    NOISE_PATTERN_NNPSK0 = 3
    NOISE_MESSAGE_OVERHEAD = 48       # e (32) and the tag of the payload (16), in both messages
    NOISE_MAX_PAYLOAD = 1024          # bytes of payload in one handshake message
    NOISE_MAX_PROLOGUE = 1024

cdef struct Handshake:
    SymmetricState symmetric
    # keys; which of them are set stands in `have`
    uint8_t s_priv[32]
    uint8_t s_pub[32]
    uint8_t e_priv[32]
    uint8_t e_pub[32]
    uint8_t rs[32]
    uint8_t re[32]
    uint8_t psk[32]
    # progress
    int have
    int suite                         # of the transport
    int pattern
    int initiator
    int step                          # messages done; an all-zero state is dead and refuses everything

# What an initiator keeps between its message and the answer; wiped by noise_nk_finish, or by noise_wipe.
cdef struct NoiseInitiator:
    Handshake handshake

# The responder's whole handshake in one call: reads message 1, writes message 2 (48 + payload2_len bytes), splits.
# Returns the length of message 2, or -1 on any failure; rx, tx and hash32 are zero then. Nothing else survives, so an
# unauthenticated peer costs no memory between calls. `payload1` must have room for msg1_len - 48 bytes; `e_priv` is
# used for this one call and the caller wipes it.
cdef int noise_nk_respond(
    int suite, const uint8_t* prologue, size_t prologue_len, const uint8_t* s_priv, const uint8_t* s_pub,
    const uint8_t* e_priv, const uint8_t* e_pub, const uint8_t* msg1, size_t msg1_len,
    uint8_t* payload1, size_t* payload1_len, const uint8_t* payload2, size_t payload2_len, uint8_t* msg2,
    CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil

# Writes message 1 (48 + payload1_len bytes) and fills `st`. Returns its length or -1 (`st` is wiped then).
cdef int noise_nk_start(
    int suite, const uint8_t* prologue, size_t prologue_len, const uint8_t* rs_pub,
    const uint8_t* e_priv, const uint8_t* e_pub, const uint8_t* payload1, size_t payload1_len,
    uint8_t* msg1, NoiseInitiator* st) noexcept nogil

# Reads message 2 and splits. Returns 0, or -1 on any failure; `st` is wiped either way. `payload2` must have room
# for len - 48 bytes.
cdef int noise_nk_finish(
    int suite, NoiseInitiator* st, const uint8_t* msg2, size_t len, uint8_t* payload2, size_t* payload2_len,
    CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil

cdef void noise_wipe(NoiseInitiator* st) noexcept nogil

# A random X25519 pair. 0, or -1 (never with a healthy libsodium).
cdef int noise_keypair(uint8_t* priv, uint8_t* pub) noexcept nogil

# The same state machine step by step, for every pattern. Keys not used by the role are NULL. 0 or -1.
cdef int handshake_init(Handshake* hs, int pattern, int suite, int initiator,
                        const uint8_t* prologue, size_t prologue_len,
                        const uint8_t* s_priv, const uint8_t* s_pub, const uint8_t* e_priv, const uint8_t* e_pub,
                        const uint8_t* rs, const uint8_t* psk) noexcept nogil
cdef int handshake_write(Handshake* hs, const uint8_t* payload, size_t len, uint8_t* out) noexcept nogil  # length or -1
cdef int handshake_read(Handshake* hs, const uint8_t* msg, size_t len, uint8_t* payload) noexcept nogil   # payload length or -1
cdef int handshake_split(Handshake* hs, CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil # wipes hs

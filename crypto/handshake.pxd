# The Noise handshake step by step, for the patterns NK, NKpsk0 and NNpsk0 over 25519 and SHA256.
#
# crypto.noise has them in one call on each turn; the patterns with a psk come behind a ticket (crypto.ticket).

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from crypto.aead cimport CipherState
from crypto.symmetric cimport SymmetricState

cdef enum:
    NOISE_PATTERN_NK = 1
    NOISE_PATTERN_NKPSK0 = 2
    NOISE_PATTERN_NNPSK0 = 3
    DH_BYTES = 32                     # X25519: a private key, a public key, what two of them share; and a psk
    NOISE_MESSAGE_OVERHEAD = 48       # e (32) and the tag of the payload (16), in both messages
    NOISE_MAX_PAYLOAD = 1024          # bytes of payload in one handshake message
    NOISE_MAX_PROLOGUE = 1024

cdef struct Shared:                   # with `re`, the first 32 bytes of message 1; zeros where there is none
    uint8_t es[DH_BYTES]
    uint8_t ee[DH_BYTES]

cdef struct Handshake:
    SymmetricState symmetric
    # keys; those the role or the pattern does not use stay zero
    uint8_t s_priv[DH_BYTES]
    uint8_t s_pub[DH_BYTES]
    uint8_t e_priv[DH_BYTES]
    uint8_t e_pub[DH_BYTES]
    uint8_t rs[DH_BYTES]
    uint8_t re[DH_BYTES]
    uint8_t psk[DH_BYTES]
    const Shared* ahead               # of a responder whose caller has them already; NULL: computed when due
    # progress; a state of zeros is dead and refuses everything
    int live
    int suite                         # of the transport
    int pattern
    int initiator
    int step                          # messages done

# Keys the role does not use are NULL; e is always given, since randomness is an argument. 0, or -1 when a key is
# missing, the suite unavailable or the prologue too long.
cdef int handshake_init(Handshake* hs, int pattern, int suite, int initiator,
                        const uint8_t* prologue, size_t prologue_len,
                        const uint8_t* s_priv, const uint8_t* s_pub, const uint8_t* e_priv, const uint8_t* e_pub,
                        const uint8_t* rs, const uint8_t* psk) noexcept nogil

# Write 48 + len bytes, read len - 48 bytes. The count, or -1 out of turn and on any failure: `hs` is wiped then.
cdef int handshake_write(Handshake* hs, const uint8_t* payload, size_t len, uint8_t* out) noexcept nogil
cdef int handshake_read(Handshake* hs, const uint8_t* msg, size_t len, uint8_t* payload) noexcept nogil

# After both messages: the ciphers of our side; `hs` is wiped. 0, or -1 too early.
cdef int handshake_split(Handshake* hs, CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil

# A random X25519 pair. 0, or -1 (never with a healthy libsodium).
cdef int x25519_keypair(uint8_t* priv, uint8_t* pub) noexcept nogil

# For the Python faces: the 32 bytes of `key`, which the caller keeps alive, NULL for None; a Channel whose key
# material moves out of rx and tx.
cdef const uint8_t* key32(key, str name) except? NULL
cdef object channel(int suite, CipherState* rx, CipherState* tx, const uint8_t* hash32)

"""Noise handshakes (rev 34, noiseprotocol.org/noise.html, section 5.3): patterns as tables, and the state.

A failed handshake returns -1, wipes what it held, and says nothing about why; the caller closes.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.aead cimport AEAD_KEY_MAX, CipherState, aead_tag_size
from crypto.sodium cimport sodium
from crypto.suites cimport KEY_AEGIS128L, SUITE_AEGIS128L, SUITE_AESGCM, SUITE_CHACHAPOLY
from crypto.symmetric cimport (
    HASH_BYTES,
    SymmetricState,
    symmetric_decrypt,
    symmetric_encrypt,
    symmetric_init,
    symmetric_mix_hash,
    symmetric_mix_key,
    symmetric_mix_key_and_hash,
    symmetric_split,
)

from typing import NamedTuple

from crypto.aead import Cipher
from crypto.errors import HandshakeFailed, HandshakeMisuse, UnsupportedSuite

LAYOUT = layout()

cdef enum Token:
    T_END = 0
    T_E
    T_ES
    T_EE
    T_PSK

cdef enum:
    MESSAGES = 2
    TOKENS = 4                        # of a message at most, T_END behind them
    PROTOCOL_NAME_MAX = 64

cdef struct Pattern:
    const char* name
    bint responder_static             # pre-message  <- s
    bint psk
    int tokens[MESSAGES][TOKENS]

cdef uint8_t NOWHERE[DH_BYTES]  # the product of a point of low order
cdef Pattern PATTERNS[NOISE_PATTERN_NNPSK0 + 1]
PATTERNS[NOISE_PATTERN_NK] = Pattern(b"NK", True, False, [[T_E, T_ES, T_END, T_END], [T_E, T_EE, T_END, T_END]])
PATTERNS[NOISE_PATTERN_NKPSK0] = Pattern(
    b"NKpsk0", True, True, [[T_PSK, T_E, T_ES, T_END], [T_E, T_EE, T_END, T_END]])
PATTERNS[NOISE_PATTERN_NNPSK0] = Pattern(
    b"NNpsk0", False, True, [[T_PSK, T_E, T_END, T_END], [T_E, T_EE, T_END, T_END]])


cdef size_t _append(uint8_t* p, size_t at, const char* word) noexcept nogil:
    while word[0] != 0:
        p[at] = <uint8_t> word[0]
        at += 1
        word += 1
    return at


cdef void _begin(SymmetricState* ss, const Pattern* pattern, int suite) noexcept nogil:
    """InitializeSymmetric with the protocol name of Noise section 8."""
    cdef uint8_t name[PROTOCOL_NAME_MAX]
    cdef size_t n = 0
    n = _append(name, n, b"Noise_")
    n = _append(name, n, pattern.name)
    if suite == SUITE_AESGCM:
        n = _append(name, n, b"_25519_AESGCM_SHA256")
        symmetric_init(ss, name, n, SUITE_AESGCM)
    else:
        n = _append(name, n, b"_25519_ChaChaPoly_SHA256")
        symmetric_init(ss, name, n, SUITE_CHACHAPOLY)


cdef int handshake_init(Handshake* hs, int pattern, int suite, int initiator,
                        const uint8_t* prologue, size_t prologue_len,
                        const uint8_t* s_priv, const uint8_t* s_pub, const uint8_t* e_priv, const uint8_t* e_pub,
                        const uint8_t* rs, const uint8_t* psk) noexcept nogil:
    cdef const Pattern* table
    memset(hs, 0, sizeof(Handshake))
    if pattern < NOISE_PATTERN_NK or pattern > NOISE_PATTERN_NNPSK0 or aead_tag_size(suite) < 0:
        return -1
    table = &PATTERNS[pattern]
    if prologue_len > NOISE_MAX_PROLOGUE or e_priv == NULL or e_pub == NULL:
        return -1
    if table.psk and psk == NULL:
        return -1
    if table.responder_static and (rs == NULL if initiator else (s_priv == NULL or s_pub == NULL)):
        return -1
    hs.live, hs.pattern, hs.suite, hs.initiator = 1, pattern, suite, 1 if initiator else 0
    memcpy(hs.e_priv, e_priv, DH_BYTES)
    memcpy(hs.e_pub, e_pub, DH_BYTES)
    if table.psk:
        memcpy(hs.psk, psk, DH_BYTES)
    if table.responder_static and initiator:
        memcpy(hs.rs, rs, DH_BYTES)
    elif table.responder_static:
        memcpy(hs.s_priv, s_priv, DH_BYTES)
        memcpy(hs.s_pub, s_pub, DH_BYTES)
    _begin(&hs.symmetric, table, suite)
    symmetric_mix_hash(&hs.symmetric, prologue, prologue_len)
    if table.responder_static:
        symmetric_mix_hash(&hs.symmetric, rs if initiator else s_pub, DH_BYTES)
    return 0


cdef int _mix_dh(Handshake* hs, int token) noexcept nogil:
    """`es` or `ee`. -1 when the shared point is all zero."""
    cdef uint8_t shared[DH_BYTES]
    cdef const uint8_t* mine = hs.e_priv
    cdef const uint8_t* theirs = hs.re
    cdef int rc
    if hs.ahead != NULL:
        theirs = &hs.ahead.es[0] if token == T_ES else &hs.ahead.ee[0]
        if sodium.memcmp(theirs, NOWHERE, DH_BYTES) == 0:
            return -1
        symmetric_mix_key(&hs.symmetric, theirs)
        return 0
    if token == T_ES:
        if hs.initiator:
            theirs = hs.rs
        else:
            mine = hs.s_priv
    rc = sodium.scalarmult(shared, mine, theirs)
    if rc == 0:
        symmetric_mix_key(&hs.symmetric, shared)
    sodium.memzero(shared, sizeof(shared))
    return rc


cdef int _fail(Handshake* hs) noexcept nogil:
    """Wipe: a state of zeros is not live, so every later call refuses too."""
    sodium.memzero(hs, sizeof(Handshake))
    return -1


cdef int _turn(const Handshake* hs, bint writing) noexcept nogil:
    """Is it our turn to write (or to read)? The initiator writes message 0."""
    return hs.live and hs.step < MESSAGES and ((hs.step & 1) == 0) == (hs.initiator == writing)


cdef int handshake_write(Handshake* hs, const uint8_t* payload, size_t len, uint8_t* out) noexcept nogil:
    cdef SymmetricState* ss = &hs.symmetric
    cdef const int* token
    cdef size_t at = 0
    cdef int rc = 0
    if not _turn(hs, True) or len > NOISE_MAX_PAYLOAD:
        return _fail(hs)
    token = PATTERNS[hs.pattern].tokens[hs.step]
    while token[0] != T_END and rc == 0:
        if token[0] == T_PSK:
            symmetric_mix_key_and_hash(ss, hs.psk)
        elif token[0] == T_E:
            memcpy(out, hs.e_pub, DH_BYTES)
            at = DH_BYTES
            rc = symmetric_mix_hash(ss, hs.e_pub, DH_BYTES)
            if PATTERNS[hs.pattern].psk:
                symmetric_mix_key(ss, hs.e_pub)
        else:
            rc = _mix_dh(hs, token[0])
        token += 1
    if rc == 0:
        rc = symmetric_encrypt(ss, payload, len, out + at)
    if rc < 0:
        return _fail(hs)
    hs.step += 1
    return <int> at + rc


cdef int handshake_read(Handshake* hs, const uint8_t* msg, size_t len, uint8_t* payload) noexcept nogil:
    cdef SymmetricState* ss = &hs.symmetric
    cdef const int* token
    cdef int rc = 0
    if not _turn(hs, False) or len < NOISE_MESSAGE_OVERHEAD or len > NOISE_MESSAGE_OVERHEAD + NOISE_MAX_PAYLOAD:
        return _fail(hs)
    token = PATTERNS[hs.pattern].tokens[hs.step]
    while token[0] != T_END and rc == 0:
        if token[0] == T_PSK:
            symmetric_mix_key_and_hash(ss, hs.psk)
        elif token[0] == T_E:
            memcpy(hs.re, msg, DH_BYTES)
            rc = symmetric_mix_hash(ss, hs.re, DH_BYTES)
            if PATTERNS[hs.pattern].psk:
                symmetric_mix_key(ss, hs.re)
        else:
            rc = _mix_dh(hs, token[0])
        token += 1
    if rc == 0:
        rc = symmetric_decrypt(ss, msg + DH_BYTES, len - DH_BYTES, payload)
    if rc < 0:
        return _fail(hs)
    hs.step += 1
    return rc


cdef int handshake_split(Handshake* hs, CipherState* rx, CipherState* tx, uint8_t* hash32) noexcept nogil:
    cdef CipherState* first = tx if hs.initiator else rx
    cdef CipherState* second = rx if hs.initiator else tx
    if hs.step != MESSAGES:
        return _fail(hs)
    memset(rx, 0, sizeof(CipherState))
    memset(tx, 0, sizeof(CipherState))
    symmetric_split(&hs.symmetric, first.key, second.key)
    if hs.suite == SUITE_AEGIS128L:
        sodium.memzero(first.key + KEY_AEGIS128L, AEAD_KEY_MAX - KEY_AEGIS128L)
        sodium.memzero(second.key + KEY_AEGIS128L, AEAD_KEY_MAX - KEY_AEGIS128L)
    memcpy(hash32, hs.symmetric.h, HASH_BYTES)
    sodium.memzero(hs, sizeof(Handshake))
    return 0


cdef int x25519_keypair(uint8_t* priv, uint8_t* pub) noexcept nogil:
    sodium.randombytes(priv, DH_BYTES)
    return sodium.scalarmult_base(pub, priv)


PATTERN_NUMBERS = {"NK": NOISE_PATTERN_NK, "NKpsk0": NOISE_PATTERN_NKPSK0, "NNpsk0": NOISE_PATTERN_NNPSK0}


class Channel(NamedTuple):
    """What a finished handshake leaves: the ciphers of both directions and the handshake hash (32 bytes)."""

    rx: Cipher
    tx: Cipher
    handshake_hash: bytes


cdef const uint8_t* key32(key, str name) except? NULL:
    if key is None:
        return NULL
    if not isinstance(key, bytes) or len(key) != DH_BYTES:
        raise ValueError(f"{name} must be 32 bytes")
    return <const uint8_t*> (<bytes> key)


cdef object channel(int suite, CipherState* rx, CipherState* tx, const uint8_t* hash32):
    made = Channel(
        Cipher(suite, (<const char*> rx.key)[:AEAD_KEY_MAX]),
        Cipher(suite, (<const char*> tx.key)[:AEAD_KEY_MAX]),
        (<const char*> hash32)[:HASH_BYTES],
    )
    sodium.memzero(rx, sizeof(CipherState))
    sodium.memzero(tx, sizeof(CipherState))
    return made


def public_key(bytes private not None) -> bytes:
    """The X25519 public key of a 32-byte private key."""
    cdef uint8_t pub[DH_BYTES]
    sodium.scalarmult_base(pub, key32(private, "private"))
    return (<const char*> pub)[:DH_BYTES]


def generate_keypair() -> tuple[bytes, bytes]:
    """A random X25519 pair: (private, public), 32 bytes each."""
    cdef uint8_t priv[DH_BYTES]
    cdef uint8_t pub[DH_BYTES]
    if x25519_keypair(priv, pub) < 0:
        raise HandshakeMisuse("no key pair")
    pair = ((<const char*> priv)[:DH_BYTES], (<const char*> pub)[:DH_BYTES])
    sodium.memzero(priv, sizeof(priv))
    return pair


@cython.final
cdef class HandshakeState:
    """Step by step, for every pattern: "NK", "NKpsk0", "NNpsk0". Keys are 32 bytes; `e` fixes the ephemeral."""

    cdef Handshake state
    cdef readonly int suite

    def __cinit__(self, str pattern not None, int suite, bint initiator, bytes prologue not None=b"", *,
                  s=None, rs=None, e=None, psk=None):
        if aead_tag_size(suite) < 0:
            raise UnsupportedSuite(f"suite {suite} is not available")
        self.suite = suite
        e = generate_keypair()[0] if e is None else e
        e_pub = public_key(e)
        s_pub = None if s is None else public_key(s)
        if handshake_init(
            &self.state, PATTERN_NUMBERS[pattern], suite, initiator, prologue, len(prologue),
            key32(s, "s"), key32(s_pub, "s_pub"), key32(e, "e"), key32(e_pub, "e_pub"),
            key32(rs, "rs"), key32(psk, "psk"),
        ) < 0:
            raise HandshakeMisuse(f"{pattern} needs a key that was not given, or the prologue is too long")

    def __dealloc__(self):
        sodium.memzero(&self.state, sizeof(Handshake))

    @property
    def wiped(self) -> bool:
        """True once no byte of the handshake's secrets is left."""
        return not any((<const char*> &self.state)[: sizeof(Handshake)])

    @property
    def complete(self) -> bool:
        """Both messages are done; `split` is next."""
        return self.state.step == MESSAGES

    def write_message(self, bytes payload not None=b"") -> bytes:
        """The next message. Raises HandshakeMisuse out of turn, HandshakeFailed for a low-order peer key."""
        cdef int written
        if len(payload) > NOISE_MAX_PAYLOAD:
            raise ValueError("the payload is too long")
        if not _turn(&self.state, True):
            raise HandshakeMisuse("it is not our turn to write")
        out = bytearray(NOISE_MESSAGE_OVERHEAD + len(payload))
        written = handshake_write(&self.state, payload, len(payload), out)
        if written < 0:
            raise HandshakeFailed("the peer's public key is of low order")
        return bytes(out[:written])

    def read_message(self, bytes message not None) -> bytes:
        """The payload of the peer's message. Raises HandshakeMisuse out of turn, else HandshakeFailed (and wipes)."""
        cdef int got
        if not _turn(&self.state, False):
            raise HandshakeMisuse("it is not our turn to read")
        payload = bytearray(max(len(message), 1))
        got = handshake_read(&self.state, message, len(message), payload)
        if got < 0:
            raise HandshakeFailed("the message was refused")
        return bytes(payload[:got])

    def split(self) -> Channel:
        """The transport ciphers; the state is wiped. Raises HandshakeMisuse before both messages are done."""
        cdef CipherState rx, tx
        cdef uint8_t digest[HASH_BYTES]
        if self.state.step != MESSAGES:
            raise HandshakeMisuse("the handshake is not complete")
        handshake_split(&self.state, &rx, &tx, digest)
        return channel(self.suite, &rx, &tx, digest)

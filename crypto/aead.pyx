"""Transport ciphers of QW1: ChaCha20-Poly1305, AES-256-GCM, AEGIS-128L (docs/PROTOCOL.md; Noise section 12)."""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from cmodules cimport layout
from crypto.openssl cimport OPENSSL_MIN, openssl_open, openssl_seal
from crypto.sodium cimport sodium
from crypto.suites cimport (
    KEY_AEGIS128L,
    SUITE_AEGIS128L,
    SUITE_AESGCM,
    SUITE_CHACHAPOLY,
    TAG_AEGIS128L,
    TAG_AESGCM,
    TAG_CHACHAPOLY,
    TAG_MAX,
)

from crypto.errors import AuthenticationFailed, NonceExhausted, UnsupportedSuite

LAYOUT = layout()

cdef uint64_t NONCE_END = <uint64_t> 0xFFFFFFFFFFFFFFFF


cdef inline void _put_le(uint8_t* p, uint64_t n) noexcept nogil:
    cdef int i
    for i in range(8):
        p[i] = <uint8_t> (n >> (8 * i))


cdef inline void _put_be(uint8_t* p, uint64_t n) noexcept nogil:
    cdef int i
    for i in range(8):
        p[i] = <uint8_t> (n >> (56 - 8 * i))


cdef inline void _nonce(int suite, uint64_t n, uint8_t* out) noexcept nogil:
    """Nonce of 12 bytes (AEGIS-128L: 16): zeros, then the counter; AES-GCM counts big-endian, the others little."""
    memset(out, 0, AEAD_NONCE_MAX)
    if suite == SUITE_AESGCM:
        _put_be(out + 4, n)
    elif suite == SUITE_AEGIS128L:
        _put_le(out + 8, n)
    else:
        _put_le(out + 4, n)


cdef int aead_tag_size(int suite) noexcept nogil:
    if suite == SUITE_CHACHAPOLY:
        return TAG_CHACHAPOLY
    if suite == SUITE_AESGCM:
        return TAG_AESGCM if sodium.has_aes256gcm else -1
    if suite == SUITE_AEGIS128L:
        return TAG_AEGIS128L
    return -1


cdef int aead_encrypt(int suite, const uint8_t* key, uint64_t n, const uint8_t* ad, size_t ad_len,
                      const uint8_t* plain, size_t len, uint8_t* out) noexcept nogil:
    cdef uint8_t nonce[AEAD_NONCE_MAX]
    cdef int tag = aead_tag_size(suite)
    cdef unsigned long long written = 0
    cdef int rc
    if tag < 0 or len > <size_t> (AEAD_MAX_SEALED - tag):
        return -1
    _nonce(suite, n, nonce)
    if suite == SUITE_AEGIS128L:
        rc = sodium.aegis128l_encrypt(out, &written, plain, len, ad, ad_len, NULL, nonce, key)
    elif suite == SUITE_AESGCM:
        rc = sodium.aes256gcm_encrypt(out, &written, plain, len, ad, ad_len, NULL, nonce, key)
    else:
        if len >= OPENSSL_MIN and ad_len == 0:
            rc = openssl_seal(out, plain, len, nonce, key)
            if rc != 0:
                return <int> len + tag if rc > 0 else -1
        rc = sodium.chacha20poly1305_ietf_encrypt(out, &written, plain, len, ad, ad_len, NULL, nonce, key)
    return <int> written if rc == 0 else -1


cdef int aead_decrypt(int suite, const uint8_t* key, uint64_t n, const uint8_t* ad, size_t ad_len,
                      const uint8_t* sealed, size_t len, uint8_t* out) noexcept nogil:
    cdef uint8_t nonce[AEAD_NONCE_MAX]
    cdef int tag = aead_tag_size(suite)
    cdef unsigned long long written = 0
    cdef int rc
    if tag < 0 or len < <size_t> tag or len > AEAD_MAX_SEALED:
        return -1
    _nonce(suite, n, nonce)
    if suite == SUITE_AEGIS128L:
        rc = sodium.aegis128l_decrypt(out, &written, NULL, sealed, len, ad, ad_len, nonce, key)
    elif suite == SUITE_AESGCM:
        rc = sodium.aes256gcm_decrypt(out, &written, NULL, sealed, len, ad, ad_len, nonce, key)
    else:
        if len >= OPENSSL_MIN and ad_len == 0:
            rc = openssl_open(out, sealed, len, nonce, key)
            if rc != 0:
                return <int> len - tag if rc > 0 else -1
        rc = sodium.chacha20poly1305_ietf_decrypt(out, &written, NULL, sealed, len, ad, ad_len, nonce, key)
    return <int> written if rc == 0 else -1


cdef int aead_seal(int suite, CipherState* cs, const uint8_t* plain, size_t len, uint8_t* out) noexcept nogil:
    cdef int written
    if cs.n == NONCE_END:
        return -1
    written = aead_encrypt(suite, cs.key, cs.n, NULL, 0, plain, len, out)
    if written >= 0:
        cs.n += 1
    return written


cdef int aead_open(int suite, CipherState* cs, const uint8_t* sealed, size_t len, uint8_t* out) noexcept nogil:
    cdef int written
    if cs.n == NONCE_END:
        return -1
    written = aead_decrypt(suite, cs.key, cs.n, NULL, 0, sealed, len, out)
    if written >= 0:
        cs.n += 1
    return written


cdef int aead_rekey(int suite, CipherState* cs) noexcept nogil:
    cdef uint8_t zeros[AEAD_KEY_MAX]
    cdef uint8_t fresh[AEAD_KEY_MAX + TAG_MAX]
    cdef size_t size = KEY_AEGIS128L if suite == SUITE_AEGIS128L else AEAD_KEY_MAX
    memset(zeros, 0, sizeof(zeros))
    if aead_encrypt(suite, cs.key, NONCE_END, NULL, 0, zeros, size, fresh) < 0:
        return -1
    memcpy(cs.key, fresh, size)
    sodium.memzero(fresh, sizeof(fresh))
    return 0


def tag_size(int suite) -> int:
    """Bytes a sealed record is longer than its plaintext: 16, 16, 32. UnsupportedSuite when it is not available here."""
    cdef int size = aead_tag_size(suite)
    if size < 0:
        raise UnsupportedSuite(f"suite {suite} is not available")
    return size


@cython.final
cdef class Cipher:
    """One direction of a connection, for tests and tools. The C core uses `CipherState` itself.

    `key` is 32 bytes; of an AEGIS-128L key the first 16 count. `n` is the next nonce.
    """

    cdef CipherState state
    cdef readonly int suite

    def __cinit__(self, int suite, const uint8_t[::1] key not None, uint64_t n=0):
        if aead_tag_size(suite) < 0:
            raise UnsupportedSuite(f"suite {suite} is not available")
        if key.shape[0] != AEAD_KEY_MAX and not (suite == SUITE_AEGIS128L and key.shape[0] == KEY_AEGIS128L):
            raise ValueError(f"suite {suite} does not take a key of {key.shape[0]} bytes")
        self.suite = suite
        memset(&self.state, 0, sizeof(CipherState))
        memcpy(self.state.key, &key[0], KEY_AEGIS128L if suite == SUITE_AEGIS128L else AEAD_KEY_MAX)
        self.state.n = n

    def __dealloc__(self):
        sodium.memzero(&self.state, sizeof(CipherState))

    @property
    def n(self) -> int:
        """The next nonce."""
        return self.state.n

    @property
    def tag_size(self) -> int:
        """Bytes a sealed record is longer than its plaintext."""
        return aead_tag_size(self.suite)

    def seal(self, const uint8_t[::1] plain not None) -> bytes:
        """Seal with the next nonce. Raises NonceExhausted; ValueError when too long for a record."""
        out = bytearray(plain.shape[0] + TAG_MAX)
        out[: plain.shape[0]] = plain
        return bytes(memoryview(out)[: self.seal_in_place(out, plain.shape[0])])

    def open(self, const uint8_t[::1] sealed not None) -> bytes:
        """Open with the next nonce. Raises AuthenticationFailed or NonceExhausted; the nonce then stays."""
        out = bytearray(sealed)
        return bytes(memoryview(out)[: self.open_in_place(out, sealed.shape[0])])

    def seal_in_place(self, uint8_t[::1] buffer not None, size_t length) -> int:
        """Seal the first `length` bytes of `buffer` over themselves; returns the sealed length."""
        cdef int written
        if self.state.n == NONCE_END:
            raise NonceExhausted("2^64-1 records were sealed under this key")
        if length + self.tag_size > min(buffer.shape[0], AEAD_MAX_SEALED):
            raise ValueError(f"{length} bytes do not fit")
        written = aead_seal(self.suite, &self.state, &buffer[0], length, &buffer[0])
        assert written == <int> length + self.tag_size
        return written

    def open_in_place(self, uint8_t[::1] buffer not None, size_t length) -> int:
        """Open the first `length` bytes of `buffer` over themselves; returns the plaintext length."""
        cdef int written
        if self.state.n == NONCE_END:
            raise NonceExhausted("2^64-1 records were opened under this key")
        if length > <size_t> buffer.shape[0]:
            raise ValueError(f"the buffer is shorter than {length} bytes")
        if length == 0:
            raise AuthenticationFailed("an empty record")
        written = aead_open(self.suite, &self.state, &buffer[0], length, &buffer[0])
        if written < 0:
            raise AuthenticationFailed("the record is not authentic")
        return written

    def rekey(self) -> None:
        """Noise section 4.2 REKEY; the nonce goes on."""
        aead_rekey(self.suite, &self.state)

# The libsodium functions of the bundled PyNaCl, as C pointers callable without the GIL.
#
# Contract: filled once while `crypto.sodium` is imported and constant afterwards, so every thread may read it
# without a lock. A module that cimports `sodium` imports the module first, hence never sees a NULL entry.

ctypedef int (*aead_encrypt_fn)(unsigned char* c, unsigned long long* clen,
                                const unsigned char* m, unsigned long long mlen,
                                const unsigned char* ad, unsigned long long adlen,
                                const unsigned char* nsec, const unsigned char* npub,
                                const unsigned char* k) noexcept nogil
ctypedef int (*aead_decrypt_fn)(unsigned char* m, unsigned long long* mlen, unsigned char* nsec,
                                const unsigned char* c, unsigned long long clen,
                                const unsigned char* ad, unsigned long long adlen,
                                const unsigned char* npub, const unsigned char* k) noexcept nogil

cdef struct SodiumTable:
    # AEAD (encrypt and decrypt may run in place: output pointer == input pointer)
    aead_encrypt_fn chacha20poly1305_ietf_encrypt       # key 32, nonce 12, tag 16
    aead_decrypt_fn chacha20poly1305_ietf_decrypt
    aead_encrypt_fn aes256gcm_encrypt                   # key 32, nonce 12, tag 16; only when has_aes256gcm
    aead_decrypt_fn aes256gcm_decrypt
    aead_encrypt_fn aegis128l_encrypt                   # key 16, nonce 16, tag 32
    aead_decrypt_fn aegis128l_decrypt
    aead_encrypt_fn xchacha20poly1305_ietf_encrypt      # key 32, nonce 24, tag 16
    aead_decrypt_fn xchacha20poly1305_ietf_decrypt
    # X25519: -1 when the result is all zero (low-order point)
    int (*scalarmult)(unsigned char* q, const unsigned char* n, const unsigned char* p) noexcept nogil
    int (*scalarmult_base)(unsigned char* q, const unsigned char* n) noexcept nogil
    # SHA-256, one shot
    int (*hash_sha256)(unsigned char* out, const unsigned char* data, unsigned long long n) noexcept nogil
    # SipHash-2-4 of 128 bits, for tables that hostile names must not be able to fill unevenly: key 16, out 16
    int (*siphashx24)(unsigned char* out, const unsigned char* data, unsigned long long n,
                      const unsigned char* k) noexcept nogil
    # housekeeping
    void (*memzero)(void* p, size_t n) noexcept nogil   # never optimised away
    int (*memcmp)(const void* a, const void* b, size_t n) noexcept nogil  # constant time, 0 = equal
    void (*randombytes)(unsigned char* p, unsigned long long n) noexcept nogil
    # what this CPU offers
    int has_aes256gcm

cdef SodiumTable sodium

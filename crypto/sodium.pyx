"""The libsodium function table, taken from PyNaCl's cffi module.

PyNaCl >= 1.6 bundles libsodium >= 1.0.20 and keeps the addresses of its functions reachable through cffi, so
the C modules call them directly: no system library, no linker flags, no GIL.
"""

from libc.stdint cimport uintptr_t

from cmodules cimport layout

import nacl._sodium as _nacl

LAYOUT = layout()

NEEDS = "PyNaCl >= 1.6 (libsodium >= 1.0.20)"


cdef uintptr_t _address(str name) except 0:
    """Address of libsodium's `name`. ImportError names the symbol and the version that has it."""
    if not hasattr(_nacl.lib, name):
        raise ImportError(f"libsodium function {name} is missing: {NEEDS} is needed")
    return <uintptr_t> int(_nacl.ffi.cast("uintptr_t", _nacl.ffi.addressof(_nacl.lib, name)))


cdef int _fill() except -1:
    if _nacl.lib.sodium_init() < 0:
        raise ImportError("libsodium could not be initialised")
    sodium.chacha20poly1305_ietf_encrypt = <aead_encrypt_fn> _address("crypto_aead_chacha20poly1305_ietf_encrypt")
    sodium.chacha20poly1305_ietf_decrypt = <aead_decrypt_fn> _address("crypto_aead_chacha20poly1305_ietf_decrypt")
    sodium.aes256gcm_encrypt = <aead_encrypt_fn> _address("crypto_aead_aes256gcm_encrypt")
    sodium.aes256gcm_decrypt = <aead_decrypt_fn> _address("crypto_aead_aes256gcm_decrypt")
    sodium.aegis128l_encrypt = <aead_encrypt_fn> _address("crypto_aead_aegis128l_encrypt")
    sodium.aegis128l_decrypt = <aead_decrypt_fn> _address("crypto_aead_aegis128l_decrypt")
    sodium.xchacha20poly1305_ietf_encrypt = <aead_encrypt_fn> _address("crypto_aead_xchacha20poly1305_ietf_encrypt")
    sodium.xchacha20poly1305_ietf_decrypt = <aead_decrypt_fn> _address("crypto_aead_xchacha20poly1305_ietf_decrypt")
    sodium.scalarmult = <int (*)(unsigned char*, const unsigned char*, const unsigned char*) noexcept nogil> _address(
        "crypto_scalarmult")
    sodium.scalarmult_base = <int (*)(unsigned char*, const unsigned char*) noexcept nogil> _address(
        "crypto_scalarmult_base")
    sodium.hash_sha256 = <int (*)(unsigned char*, const unsigned char*, unsigned long long) noexcept nogil> _address(
        "crypto_hash_sha256")
    sodium.siphashx24 = <int (*)(unsigned char*, const unsigned char*, unsigned long long,
                                 const unsigned char*) noexcept nogil> _address("crypto_shorthash_siphashx24")
    sodium.memzero = <void (*)(void*, size_t) noexcept nogil> _address("sodium_memzero")
    sodium.memcmp = <int (*)(const void*, const void*, size_t) noexcept nogil> _address("sodium_memcmp")
    sodium.randombytes = <void (*)(unsigned char*, unsigned long long) noexcept nogil> _address("randombytes")
    sodium.has_aes256gcm = _nacl.lib.crypto_aead_aes256gcm_is_available()
    return 0


_fill()

HAS_AES256GCM = bool(sodium.has_aes256gcm)

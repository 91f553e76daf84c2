"""ChaCha20-Poly1305 of the OpenSSL that Python's own `hashlib` runs on, where there is one.

On long records it takes half of libsodium's time or less (docs/decisions/0013). A Python without a shared OpenSSL 3,
or one whose OpenSSL refuses this cipher (FIPS), stays with libsodium: the bytes are the same.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uintptr_t

from cmodules cimport layout

import atexit
import ctypes

LAYOUT = layout()

cdef extern from "crypto/includes/evp_chacha.h" nogil:
    ctypedef int (*qw_evp_init_fn)(void*, const void*, void*, const uint8_t*, const uint8_t*) noexcept nogil
    ctypedef int (*qw_evp_update_fn)(void*, uint8_t*, int*, const uint8_t*, int) noexcept nogil
    ctypedef int (*qw_evp_final_fn)(void*, uint8_t*, int*) noexcept nogil
    ctypedef struct qw_evp_table:
        void* cipher
        void* (*ctx_new)() noexcept nogil
        void (*ctx_free)(void*) noexcept nogil
        int (*ctx_ctrl)(void*, int, int, void*) noexcept nogil
        qw_evp_init_fn encrypt_init
        qw_evp_init_fn decrypt_init
        qw_evp_update_fn encrypt_update
        qw_evp_update_fn decrypt_update
        qw_evp_final_fn encrypt_final
        qw_evp_final_fn decrypt_final
    qw_evp_table qw_evp
    int qw_evp_ready(void* cipher)
    int qw_evp_seal(uint8_t*, const uint8_t*, int, const uint8_t*, const uint8_t*)
    int qw_evp_open(uint8_t*, const uint8_t*, int, const uint8_t*, const uint8_t*)

OLDEST = 0x30000000
cdef void* _found = NULL


cdef uintptr_t _address(object library, str name) except 0:
    """Address of `name`. AttributeError when the library does not show it."""
    return <uintptr_t> ctypes.cast(getattr(library, name), ctypes.c_void_p).value


cdef int _fill() except -1:
    """Raises ImportError, OSError or AttributeError when there is no OpenSSL 3 to be used."""
    global VERSION
    import _hashlib

    library = ctypes.CDLL(_hashlib.__file__)  # its symbols include those of the libcrypto it is linked with
    library.OpenSSL_version_num.restype = ctypes.c_ulong
    if library.OpenSSL_version_num() < OLDEST:
        return 0
    library.EVP_CIPHER_fetch.restype = ctypes.c_void_p
    library.OpenSSL_version.restype = ctypes.c_char_p
    cdef uintptr_t cipher = library.EVP_CIPHER_fetch(None, b"ChaCha20-Poly1305", None) or 0
    if not cipher:
        return 0
    qw_evp.ctx_new = <void* (*)() noexcept nogil> _address(library, "EVP_CIPHER_CTX_new")
    qw_evp.ctx_free = <void (*)(void*) noexcept nogil> _address(library, "EVP_CIPHER_CTX_free")
    qw_evp.ctx_ctrl = <int (*)(void*, int, int, void*) noexcept nogil> _address(library, "EVP_CIPHER_CTX_ctrl")
    qw_evp.encrypt_init = <qw_evp_init_fn> _address(library, "EVP_EncryptInit_ex")
    qw_evp.decrypt_init = <qw_evp_init_fn> _address(library, "EVP_DecryptInit_ex")
    qw_evp.encrypt_update = <qw_evp_update_fn> _address(library, "EVP_EncryptUpdate")
    qw_evp.decrypt_update = <qw_evp_update_fn> _address(library, "EVP_DecryptUpdate")
    qw_evp.encrypt_final = <qw_evp_final_fn> _address(library, "EVP_EncryptFinal_ex")
    qw_evp.decrypt_final = <qw_evp_final_fn> _address(library, "EVP_DecryptFinal_ex")
    if qw_evp_ready(<void*> cipher) == 0:
        VERSION = library.OpenSSL_version(0).decode()
    return 0


def use(bint wanted) -> None:
    """Take it or leave it, in this process; for tests and measurements. No effect where there is none."""
    qw_evp.cipher = _found if wanted else NULL


VERSION = ""
try:
    _fill()
except (ImportError, OSError, AttributeError):
    pass
_found = qw_evp.cipher
atexit.register(use, False)  # OpenSSL takes itself apart when the process exits; no loop shall be in it then


cdef int openssl_seal(uint8_t* out, const uint8_t* plain, size_t len, const uint8_t* nonce,
                      const uint8_t* key) noexcept nogil:
    if qw_evp.cipher == NULL:
        return 0
    return qw_evp_seal(out, plain, <int> len, nonce, key)


cdef int openssl_open(uint8_t* out, const uint8_t* sealed, size_t len, const uint8_t* nonce,
                      const uint8_t* key) noexcept nogil:
    if qw_evp.cipher == NULL:
        return 0
    return qw_evp_open(out, sealed, <int> len, nonce, key)

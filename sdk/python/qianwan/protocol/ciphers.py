"""The three transport suites: counter-nonce AEADs with the rekey of Noise section 4.2 (docs/PROTOCOL.md,
"Records").

libsodium is called through PyNaCl's cffi module directly: the checked wrappers of `nacl.bindings` cost
seven times
what the AEAD itself costs on a chat-sized record.
"""

from __future__ import annotations

from typing import Any, ClassVar

import nacl.bindings as _bindings  # initialises libsodium
from nacl._sodium import ffi, lib

from qianwan.errors import ProtocolError

CHACHAPOLY = 1
AESGCM = 2
AEGIS128L = 3

MAX_NONCE = (1 << 64) - 1
_NULL = ffi.NULL
_buffer = ffi.buffer
_allocate = ffi.new_allocator(should_clear_after_alloc=False)

SHARED_SECRET = _bindings.crypto_scalarmult
PUBLIC_OF = _bindings.crypto_scalarmult_base


class CipherState:
    """One direction of a connection: a key and the counter `n` of the next record."""

    __slots__ = ("key", "n")

    tag_size: ClassVar[int] = 16
    key_size: ClassVar[int] = 32
    _seal: ClassVar[Any]
    _open: ClassVar[Any]

    def __init__(self, key: bytes, n: int = 0) -> None:
        self.key = key[: self.key_size]
        self.n = n

    @staticmethod
    def nonce(n: int) -> bytes:
        raise NotImplementedError

    def _encrypt(self, n: int, plain: bytes, ad: bytes) -> bytes:
        out = _allocate("unsigned char[]", len(plain) + self.tag_size)
        self._seal(out, _NULL, plain, len(plain), ad, len(ad), _NULL, self.nonce(n), self.key)
        return bytes(_buffer(out))

    def seal(self, plain: bytes, ad: bytes = b"") -> bytes:
        """Encrypt under the next nonce; refuses to run once the counter is used up."""
        n = self.n
        if n >= MAX_NONCE:
            raise ProtocolError("nonces are exhausted")
        self.n = n + 1
        return self._encrypt(n, plain, ad)

    def open(self, sealed: bytes, ad: bytes = b"") -> bytes:
        """Decrypt under the next nonce; raises ProtocolError (and keeps the nonce) when the record is not
        genuine.
        """
        size = len(sealed) - self.tag_size
        if size < 0 or self.n >= MAX_NONCE:
            raise ProtocolError("record is not genuine")
        out = _allocate("unsigned char[]", size or 1)
        if self._open(out, _NULL, _NULL, sealed, len(sealed), ad, len(ad), self.nonce(self.n), self.key):
            raise ProtocolError("record is not genuine")
        self.n += 1
        return bytes(_buffer(out, size))

    def rekey(self) -> None:
        """Replace the key by REKEY(key); the counter goes on."""
        self.key = self._encrypt(MAX_NONCE, bytes(self.key_size), b"")[: self.key_size]


class ChaChaPoly(CipherState):
    __slots__ = ()
    _seal = staticmethod(lib.crypto_aead_chacha20poly1305_ietf_encrypt)
    _open = staticmethod(lib.crypto_aead_chacha20poly1305_ietf_decrypt)

    @staticmethod
    def nonce(n: int) -> bytes:
        return b"\0\0\0\0" + n.to_bytes(8, "little")


class AesGcm(CipherState):
    __slots__ = ()
    _seal = staticmethod(lib.crypto_aead_aes256gcm_encrypt)
    _open = staticmethod(lib.crypto_aead_aes256gcm_decrypt)

    @staticmethod
    def nonce(n: int) -> bytes:
        return n.to_bytes(12, "big")


class Aegis128L(CipherState):
    __slots__ = ()
    tag_size = 32
    key_size = 16
    _seal = staticmethod(lib.crypto_aead_aegis128l_encrypt)
    _open = staticmethod(lib.crypto_aead_aegis128l_decrypt)

    @staticmethod
    def nonce(n: int) -> bytes:
        return b"\0\0\0\0\0\0\0\0" + n.to_bytes(8, "little")


_SUITES: dict[int, type[CipherState]] = {CHACHAPOLY: ChaChaPoly, AESGCM: AesGcm, AEGIS128L: Aegis128L}


def available() -> tuple[int, ...]:
    """Suites this machine can run, the preferred one first (libsodium's AES-GCM needs the AES
    instructions).
    """
    if lib.crypto_aead_aes256gcm_is_available():
        return (AEGIS128L, CHACHAPOLY, AESGCM)
    return (CHACHAPOLY, AEGIS128L)


def transport_cipher(suite: int) -> type[CipherState]:
    """The AEAD that seals records of `suite`."""
    return _SUITES[suite]


def handshake_cipher(suite: int) -> type[CipherState]:
    """The AEAD of the Noise handshake of `suite`: AEGIS-128L connections shake hands with ChaChaPoly."""
    return AesGcm if suite == AESGCM else ChaChaPoly

"""The initiator of `Noise_NK_25519_(ChaChaPoly|AESGCM)_SHA256`, Noise revision 34, written for this one
pattern.

    <- s          the responder's static key is known beforehand
    ...
    -> e, es      message 1
    <- e, ee      message 2
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha256

from qianwan.errors import ProtocolError
from qianwan.protocol import ciphers
from qianwan.protocol.ciphers import CipherState

KEY_SIZE = 32
OVERHEAD = 48  # an ephemeral public key and one tag, in either message


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """Noise section 4.3 with two outputs."""
    temp = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(temp, b"\x01", "sha256")
    return first, hmac.digest(temp, first + b"\x02", "sha256")


def _agree(private: bytes, public: bytes) -> bytes:
    try:
        return ciphers.SHARED_SECRET(private, public)
    except Exception as error:  # PyNaCl reports low-order points with its own RuntimeError
        raise ProtocolError("the peer's public key is of low order") from error


class Initiator:
    """One handshake. Use: `start()`, send the result, then `finish(message2)`; each may be called once."""

    def __init__(
        self, suite: int, prologue: bytes, server_public: bytes, ephemeral_private: bytes | None = None
    ) -> None:
        name = b"AESGCM" if suite == ciphers.AESGCM else b"ChaChaPoly"
        self._suite = suite
        self._cipher_type = ciphers.handshake_cipher(suite)
        self._hash = (b"Noise_NK_25519_" + name + b"_SHA256").ljust(32, b"\0")
        self._chaining_key = self._hash
        self._cipher: CipherState | None = None
        self._server_public = server_public
        self._private = os.urandom(KEY_SIZE) if ephemeral_private is None else ephemeral_private
        self._mix_hash(prologue)
        self._mix_hash(server_public)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = sha256(self._hash + data).digest()

    def _mix_key(self, material: bytes) -> CipherState:
        self._chaining_key, key = _hkdf(self._chaining_key, material)
        return self._cipher_type(key)

    def start(self, payload: bytes = b"") -> bytes:
        """Message 1: 48 bytes and the payload."""
        public = ciphers.PUBLIC_OF(self._private)
        self._mix_hash(public)
        cipher = self._mix_key(_agree(self._private, self._server_public))
        sealed = cipher.seal(payload, self._hash)
        self._mix_hash(sealed)
        return public + sealed

    def finish(self, message: bytes) -> tuple[bytes, CipherState, CipherState, bytes]:
        """Read message 2; returns (payload, receiving state, sending state, handshake hash).

        Raises ProtocolError when the message was not made by the holder of the pinned static key.
        """
        if len(message) < OVERHEAD:
            raise ProtocolError("handshake message is too short")
        public = message[:KEY_SIZE]
        self._mix_hash(public)
        cipher = self._mix_key(_agree(self._private, public))
        payload = cipher.open(message[KEY_SIZE:], self._hash)
        self._mix_hash(message[KEY_SIZE:])
        sending, receiving = _hkdf(self._chaining_key, b"")
        transport = ciphers.transport_cipher(self._suite)
        self._private = b""
        return payload, transport(receiving), transport(sending), self._hash

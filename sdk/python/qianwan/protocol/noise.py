"""The initiator of `Noise_(NK|NKpsk0|NNpsk0)_25519_(ChaChaPoly|AESGCM)_SHA256`, Noise revision 34, written
for these patterns.

    <- s                the responder's static key is known beforehand; not in NN
    ...
    -> [psk,] e[, es]   message 1: psk with a ticket, es where a static key is known
    <- e, ee            message 2
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


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes, bytes]:
    """Noise section 4.3 with three outputs; with two, they are the first two."""
    temp = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(temp, b"\x01", "sha256")
    second = hmac.digest(temp, first + b"\x02", "sha256")
    return first, second, hmac.digest(temp, second + b"\x03", "sha256")


def _agree(private: bytes, public: bytes) -> bytes:
    try:
        return ciphers.SHARED_SECRET(private, public)
    except Exception as error:  # PyNaCl reports low-order points with its own RuntimeError
        raise ProtocolError("the peer's public key is of low order") from error


class Initiator:
    """One handshake. Use: `start()`, send the result, then `finish(message2)`; each may be called once.
    With `psk` it is NKpsk0, or NNpsk0 when no `server_public` is given."""

    def __init__(
        self,
        suite: int,
        prologue: bytes,
        server_public: bytes | None,
        ephemeral_private: bytes | None = None,
        *,
        psk: bytes | None = None,
    ) -> None:
        cipher = b"AESGCM" if suite == ciphers.AESGCM else b"ChaChaPoly"
        pattern = (b"NN" if server_public is None else b"NK") + (b"" if psk is None else b"psk0")
        self._suite = suite
        self._psk = psk
        self._cipher_type = ciphers.handshake_cipher(suite)
        name = b"Noise_" + pattern + b"_25519_" + cipher + b"_SHA256"
        self._hash = name.ljust(32, b"\0") if len(name) <= 32 else sha256(name).digest()
        self._chaining_key = self._hash
        self._cipher: CipherState | None = None
        self._server_public = server_public
        self._private = os.urandom(KEY_SIZE) if ephemeral_private is None else ephemeral_private
        self._mix_hash(prologue)
        if server_public is not None:
            self._mix_hash(server_public)

    def _mix_hash(self, data: bytes) -> None:
        self._hash = sha256(self._hash + data).digest()

    def _mix_key(self, material: bytes) -> CipherState:
        self._chaining_key, key, _ = _hkdf(self._chaining_key, material)
        return self._cipher_type(key)

    def _mix_public(self, public: bytes) -> CipherState | None:
        """A token e: with a psk it is mixed into the key, too (section 9.2)."""
        self._mix_hash(public)
        return None if self._psk is None else self._mix_key(public)

    def start(self, payload: bytes = b"") -> bytes:
        """Message 1: 48 bytes and the payload."""
        if self._psk is not None:
            self._chaining_key, mixed, _ = _hkdf(self._chaining_key, self._psk)
            self._mix_hash(mixed)
        public = ciphers.PUBLIC_OF(self._private)
        cipher = self._mix_public(public)
        if self._server_public is not None:
            cipher = self._mix_key(_agree(self._private, self._server_public))
        if cipher is None:
            raise ValueError("a handshake needs a server key or a psk")
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
        self._mix_public(public)
        cipher = self._mix_key(_agree(self._private, public))
        payload = cipher.open(message[KEY_SIZE:], self._hash)
        self._mix_hash(message[KEY_SIZE:])
        sending, receiving, _ = _hkdf(self._chaining_key, b"")
        transport = ciphers.transport_cipher(self._suite)
        self._private = b""
        return payload, transport(receiving), transport(sending), self._hash

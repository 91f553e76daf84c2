"""`noiseprotocol` as the other side of a QW1 session, and random inputs that can be repeated."""

from __future__ import annotations

import os
import random
import struct

from noise.connection import Keypair, NoiseConnection

from tests.support import noise_aegis128l

NAMES = {
    1: b"Noise_NK_25519_ChaChaPoly_SHA256",
    2: b"Noise_NK_25519_AESGCM_SHA256",
    3: b"Noise_NK_25519_ChaChaPoly_SHA256",
}
SUITES = tuple(NAMES)


def seeded(seed: int | None = None) -> random.Random:
    """A generator whose seed is printed, so that a failure can be repeated with seeded(that seed)."""
    seed = int.from_bytes(os.urandom(6), "big") if seed is None else seed
    print(f"seed {seed}")
    return random.Random(seed)


class AegisDirection:
    """One direction of suite 3 in plain Python: nonce 8 zero bytes and u64 little-endian."""

    def __init__(self, key: bytes) -> None:
        self.key, self.n = key[:16], 0

    def _nonce(self, n: int) -> bytes:
        return bytes(8) + struct.pack("<Q", n)

    def seal(self, plain: bytes) -> bytes:
        self.n += 1
        return noise_aegis128l.encrypt(self.key, self._nonce(self.n - 1), plain)

    def open(self, sealed: bytes) -> bytes:
        plain = noise_aegis128l.decrypt(self.key, self._nonce(self.n), sealed)
        self.n += 1
        return plain

    def rekey(self) -> None:
        self.key = noise_aegis128l.encrypt(self.key, self._nonce(2**64 - 1), bytes(16))[:16]


class Peer:
    """One side of NK that shares no code with us: `noiseprotocol`, and plain-Python AEGIS for suite 3."""

    def __init__(
        self, suite: int, prologue: bytes, *, static: bytes | None = None, remote: bytes | None = None
    ) -> None:
        """A responder with its private `static` key, or an initiator that knows the `remote` public key."""
        self.suite = suite
        self.noise = NoiseConnection.from_name(NAMES[suite])
        self.noise.set_prologue(prologue)
        if static is not None:
            self.noise.set_as_responder()
            self.noise.set_keypair_from_private_bytes(Keypair.STATIC, static)
        else:
            self.noise.set_as_initiator()
            self.noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, remote)
        self.noise.start_handshake()

    def write(self, payload: bytes = b"") -> bytes:
        message = bytes(self.noise.write_message(payload))
        self._finish()
        return message

    def read(self, message: bytes) -> bytes:
        payload = bytes(self.noise.read_message(message))
        self._finish()
        return payload

    def _finish(self) -> None:
        if self.noise.handshake_finished and self.suite == 3:
            self.tx = AegisDirection(self.noise.noise_protocol.cipher_state_encrypt.k)
            self.rx = AegisDirection(self.noise.noise_protocol.cipher_state_decrypt.k)

    @property
    def handshake_hash(self) -> bytes:
        return bytes(self.noise.get_handshake_hash())

    def seal(self, plain: bytes) -> bytes:
        return self.tx.seal(plain) if self.suite == 3 else bytes(self.noise.encrypt(plain))

    def open(self, sealed: bytes) -> bytes:
        return self.rx.open(sealed) if self.suite == 3 else bytes(self.noise.decrypt(sealed))

    def rekey_tx(self) -> None:
        self.tx.rekey() if self.suite == 3 else self.noise.rekey_outbound_cipher()

    def rekey_rx(self) -> None:
        self.rx.rekey() if self.suite == 3 else self.noise.rekey_inbound_cipher()

"""The server's end of QW1 for one connection, on `noiseprotocol` and `cryptography`: nothing of ours but
constants.

Sans-I/O and slow; the SDK is tested against it, so that both of our own codecs cannot be wrong in the same
way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import zstandard
from noise.connection import Keypair, NoiseConnection

from tests.support import noise_aegis128l as aegis128l

CIPHERS = {1: "ChaChaPoly", 2: "AESGCM", 3: "ChaChaPoly"}
PATTERNS = {1: "NK", 2: "NKpsk0", 3: "NNpsk0"}


def uv(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_uv(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
        shift += 7


def frame(kind: int, body: bytes = b"", *, ack: int | None = None, flags: int = 0) -> bytes:
    head = bytes([kind | flags | (0x40 if ack is not None else 0)])
    return head + (uv(ack) if ack is not None else b"") + uv(len(body)) + body


class Taken(NamedTuple):
    kind: int
    ack: int | None
    body: bytes


class _Aegis:
    """The AEGIS-128L direction of suite 3."""

    def __init__(self, key: bytes) -> None:
        self.key, self.n = key[:16], 0

    @staticmethod
    def _nonce(n: int) -> bytes:
        return bytes(8) + n.to_bytes(8, "little")

    def encrypt_with_ad(self, ad: bytes, plain: bytes) -> bytes:
        self.n += 1
        return aegis128l.encrypt(self.key, self._nonce(self.n - 1), plain, ad)

    def decrypt_with_ad(self, ad: bytes, sealed: bytes) -> bytes:
        plain = aegis128l.decrypt(self.key, self._nonce(self.n), sealed, ad)
        self.n += 1
        return plain

    def rekey(self) -> None:
        self.key = aegis128l.encrypt(self.key, self._nonce(2**64 - 1), bytes(16))[:16]


class Responder:
    """Feed it bytes; `accept` answers the handshake, then `seal` and `frames` speak records."""

    def __init__(
        self,
        static_private: bytes,
        ephemeral_private: bytes | None = None,
        psk_of: Callable[[bytes], bytes | None] = lambda ticket: None,
    ) -> None:
        self._psk_of = psk_of
        self.ticket = b""
        self._prologue = b""
        self._static, self._ephemeral = static_private, ephemeral_private
        self.buffer = b""
        self.preamble = b""
        self.handshake_hash = b""
        self.payload1 = b""
        self.rx: Any = None
        self.tx: Any = None

    def hello(self) -> tuple[bytes, bytes] | None:
        """(preamble, message 1) once both have arrived."""
        if len(self.buffer) < 10:
            return None
        head = 8 if self.buffer[3] == 1 else 9 + self.buffer[8]
        size = int.from_bytes(self.buffer[head : head + 2], "big")
        if len(self.buffer) < head + 2 or len(self.buffer) < head + 2 + size:
            return None
        self._prologue, self.ticket = self.buffer[:head], self.buffer[9:head]
        self.preamble, message = self.buffer[:8], self.buffer[head + 2 : head + 2 + size]
        self.buffer = self.buffer[head + 2 + size :]
        return self.preamble, message

    def accept(self, message1: bytes, payload: bytes = b"") -> bytes:
        """The bytes of message 2 with their length."""
        suite, pattern = self.preamble[4], PATTERNS[self.preamble[3]]
        noise = NoiseConnection.from_name(f"Noise_{pattern}_25519_{CIPHERS[suite]}_SHA256".encode())
        noise.set_as_responder()
        noise.set_prologue(self._prologue)
        if "NK" in pattern:
            noise.set_keypair_from_private_bytes(Keypair.STATIC, self._static)
        if "psk" in pattern:
            noise.set_psks(self._psk_of(self.ticket))
        if self._ephemeral is not None:
            noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, self._ephemeral)
        noise.start_handshake()
        self.payload1 = bytes(noise.read_message(message1))
        message2 = bytes(noise.write_message(payload))
        self.handshake_hash = noise.get_handshake_hash()
        self.rx = noise.noise_protocol.cipher_state_decrypt
        self.tx = noise.noise_protocol.cipher_state_encrypt
        if suite == 3:
            self.rx, self.tx = _Aegis(self.rx.k), _Aegis(self.tx.k)
        return len(message2).to_bytes(2, "big") + message2

    def seal(self, *frames: bytes) -> bytes:
        """One record of these frames; rekeys after it when the last one is REKEY."""
        sealed: bytes = self.tx.encrypt_with_ad(b"", b"".join(frames))
        if frames[-1][0] & 0x1F == 13:
            self.tx.rekey()
        return len(sealed).to_bytes(2, "big") + sealed

    def frames(self) -> list[Taken]:
        """The frames of every complete record received."""
        found = []
        while len(self.buffer) >= 2:
            end = 2 + int.from_bytes(self.buffer[:2], "big")
            if len(self.buffer) < end:
                break
            plain = bytes(self.rx.decrypt_with_ad(b"", self.buffer[2:end]))
            self.buffer = self.buffer[end:]
            batch = _split(plain)
            if batch[-1].kind == 13:
                self.rx.rekey()
            found += batch
        return found


def _split(plain: bytes) -> list[Taken]:
    found, at = [], 0
    while at < len(plain):
        head, ack = plain[at], None
        at += 1
        if head & 0x40:
            ack, at = read_uv(plain, at)
        size, at = read_uv(plain, at)
        body = plain[at : at + size]
        at += size
        if head & 0x20:
            raw, start = read_uv(body, 0)
            body = zstandard.ZstdDecompressor().decompress(body[start:], max_output_size=raw)
        found.append(Taken(head & 0x1F, ack, body))
    return found

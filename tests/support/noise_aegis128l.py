"""AEGIS-128L with a 256-bit tag in plain Python, from draft-irtf-cfrg-aegis-aead: slow, and independent."""

from __future__ import annotations

import hmac

_C0 = bytes.fromhex("000101020305080d1522375990e97962")
_C1 = bytes.fromhex("db3d18556dc22ff12011314273b528dd")
TAG_SIZE = 32


def _multiply(a: int, b: int) -> int:
    """Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def _sbox_of(value: int) -> int:
    inverse = next((x for x in range(256) if _multiply(value, x) == 1), 0)
    turned = inverse
    for shift in range(1, 5):
        turned ^= ((inverse << shift) | (inverse >> (8 - shift))) & 0xFF
    return turned ^ 0x63


_SBOX = bytes(_sbox_of(value) for value in range(256))
_DOUBLE = bytes(_multiply(value, 2) for value in range(256))


def _xor(*blocks: bytes) -> bytes:
    total = 0
    for block in blocks:
        total ^= int.from_bytes(block, "big")
    return total.to_bytes(len(blocks[0]), "big")


def _and(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") & int.from_bytes(right, "big")).to_bytes(len(left), "big")


def _aes_round(block: bytes, key: bytes) -> bytes:
    """One AES encryption round (FIPS 197: SubBytes, ShiftRows, MixColumns, AddRoundKey)."""
    out = bytearray(16)
    for column in range(4):
        a, b, c, d = (_SBOX[block[(4 * (column + row) + row) % 16]] for row in range(4))
        every = a ^ b ^ c ^ d
        for row, (this, following) in enumerate(((a, b), (b, c), (c, d), (d, a))):
            out[4 * column + row] = this ^ every ^ _DOUBLE[this ^ following]
    return _xor(bytes(out), key)


class _State:
    def __init__(self, key: bytes, nonce: bytes) -> None:
        mixed = _xor(key, nonce)
        self.s = [mixed, _C1, _C0, _C1, mixed, _xor(key, _C0), _xor(key, _C1), _xor(key, _C0)]
        for _ in range(10):
            self.update(nonce, key)

    def update(self, m0: bytes, m1: bytes) -> None:
        s = self.s
        fresh = [_aes_round(s[i - 1], s[i]) for i in range(8)]
        fresh[0] = _xor(fresh[0], m0)
        fresh[4] = _xor(fresh[4], m1)
        self.s = fresh

    def stream(self) -> bytes:
        s = self.s
        return _xor(s[6], s[1], _and(s[2], s[3])) + _xor(s[2], s[5], _and(s[6], s[7]))

    def absorb(self, chunk: bytes) -> None:
        self.update(chunk[:16], chunk[16:])

    def tag(self, ad_size: int, size: int) -> bytes:
        lengths = (ad_size * 8).to_bytes(8, "little") + (size * 8).to_bytes(8, "little")
        block = _xor(self.s[2], lengths)
        for _ in range(7):
            self.update(block, block)
        s = self.s
        return _xor(s[0], s[1], s[2], s[3]) + _xor(s[4], s[5], s[6], s[7])


def _chunks(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def encrypt(key: bytes, nonce: bytes, plain: bytes, ad: bytes = b"") -> bytes:
    """Ciphertext and the 32-byte tag; key and nonce are 16 bytes each."""
    state = _State(key, nonce)
    for chunk in _chunks(ad):
        state.absorb(chunk.ljust(32, b"\0"))
    out = b""
    for chunk in _chunks(plain):
        padded = chunk.ljust(32, b"\0")
        out += _xor(padded, state.stream())[: len(chunk)]
        state.absorb(padded)
    return out + state.tag(len(ad), len(plain))


def decrypt(key: bytes, nonce: bytes, sealed: bytes, ad: bytes = b"") -> bytes:
    """The plaintext. ValueError when the tag does not fit."""
    body, tag = sealed[:-TAG_SIZE], sealed[-TAG_SIZE:]
    state = _State(key, nonce)
    for chunk in _chunks(ad):
        state.absorb(chunk.ljust(32, b"\0"))
    plain = b""
    for chunk in _chunks(body):
        opened = _xor(chunk.ljust(32, b"\0"), state.stream())[: len(chunk)]
        plain += opened
        state.absorb(opened.ljust(32, b"\0"))
    if len(sealed) < TAG_SIZE or not hmac.compare_digest(state.tag(len(ad), len(body)), tag):
        raise ValueError("the record is not authentic")
    return plain

"""AEGIS-128L in plain Python, from draft-irtf-cfrg-aegis-aead section 5, for vectors and tests only.

Slow and not constant time: it is here to be read and to disagree with libsodium if one of the two is wrong.
"""

from __future__ import annotations

import hmac

_C0 = bytes.fromhex("000101020305080d1522375990e97962")
_C1 = bytes.fromhex("db3d18556dc22ff12011314273b528dd")


def _sbox() -> list[int]:
    """The AES S-box from its definition: inverse in GF(2^8), then the affine map (FIPS 197 section 5.1.1)."""
    box = [0x63] * 256
    p = q = 1
    while True:
        p ^= (p << 1) & 0xFF ^ (0x1B if p & 0x80 else 0)  # p * 3
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09  # q / 3
        rotated = q
        for shift in range(1, 5):
            rotated ^= (q << shift | q >> (8 - shift)) & 0xFF
        box[p] = rotated ^ 0x63
        if p == 1:
            return box


_SBOX = _sbox()


def _double(x: int) -> int:
    return (x << 1) & 0xFF ^ (0x1B if x & 0x80 else 0)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def _and(a: bytes, b: bytes) -> bytes:
    return bytes(x & y for x, y in zip(a, b, strict=True))


def _round(block: bytes, key: bytes) -> bytes:
    """One AES encryption round: SubBytes, ShiftRows, MixColumns, AddRoundKey."""
    out = bytearray(16)
    for column in range(4):
        a, b, c, d = (_SBOX[block[(4 * (column + row) + row) % 16]] for row in range(4))
        everything = a ^ b ^ c ^ d
        for row, (x, y) in enumerate(((a, b), (b, c), (c, d), (d, a))):
            out[4 * column + row] = x ^ everything ^ _double(x ^ y)
    return _xor(bytes(out), key)


class _State:
    def __init__(self, key: bytes, nonce: bytes) -> None:
        kn = _xor(key, nonce)
        self.s = [kn, _C1, _C0, _C1, kn, _xor(key, _C0), _xor(key, _C1), _xor(key, _C0)]
        for _ in range(10):
            self.update(nonce, key)

    def update(self, m0: bytes, m1: bytes) -> None:
        s = self.s
        self.s = [
            _round(s[7], _xor(s[0], m0)),
            _round(s[0], s[1]),
            _round(s[1], s[2]),
            _round(s[2], s[3]),
            _round(s[3], _xor(s[4], m1)),
            _round(s[4], s[5]),
            _round(s[5], s[6]),
            _round(s[6], s[7]),
        ]

    def stream(self) -> bytes:
        s = self.s
        return _xor(_xor(s[1], s[6]), _and(s[2], s[3])) + _xor(_xor(s[5], s[2]), _and(s[6], s[7]))

    def absorb(self, data: bytes) -> None:
        for at in range(0, len(data), 32):
            block = data[at : at + 32].ljust(32, b"\0")
            self.update(block[:16], block[16:])

    def tag(self, ad_size: int, size: int) -> bytes:
        """The 256-bit tag."""
        lengths = (8 * ad_size).to_bytes(8, "little") + (8 * size).to_bytes(8, "little")
        mark = _xor(self.s[2], lengths)
        for _ in range(7):
            self.update(mark, mark)
        s = self.s
        return _xor(_xor(s[0], s[1]), _xor(s[2], s[3])) + _xor(_xor(s[4], s[5]), _xor(s[6], s[7]))


def encrypt(key: bytes, nonce: bytes, ad: bytes, plain: bytes) -> bytes:
    """Ciphertext and its 32-byte tag; key and nonce have 16 bytes."""
    state = _State(key, nonce)
    state.absorb(ad)
    out = bytearray()
    for at in range(0, len(plain), 32):
        block = plain[at : at + 32]
        padded = block.ljust(32, b"\0")
        out += _xor(padded, state.stream())[: len(block)]
        state.update(padded[:16], padded[16:])
    return bytes(out) + state.tag(len(ad), len(plain))


def decrypt(key: bytes, nonce: bytes, ad: bytes, sealed: bytes) -> bytes:
    """The plaintext; raises ValueError when the tag is wrong."""
    cipher, tag = sealed[:-32], sealed[-32:]
    state = _State(key, nonce)
    state.absorb(ad)
    out = bytearray()
    for at in range(0, len(cipher), 32):
        block = cipher[at : at + 32]
        padded = _xor(block.ljust(32, b"\0"), state.stream())[: len(block)].ljust(32, b"\0")
        out += padded[: len(block)]
        state.update(padded[:16], padded[16:])
    if not hmac.compare_digest(tag, state.tag(len(ad), len(cipher))):
        raise ValueError("wrong tag")
    return bytes(out)

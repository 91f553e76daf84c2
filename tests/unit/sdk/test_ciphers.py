"""The transport AEADs against other implementations."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from qianwan.errors import ProtocolError
from qianwan.protocol import ciphers

from crypto.aead import Cipher
from tests.support import noise_aegis128l as aegis128l


@pytest.mark.parametrize("suite", [1, 2, 3])
def test_ciphers_agree_with_the_server_over_rekeys(suite: int) -> None:
    key = os.urandom(32)
    ours, theirs = ciphers.transport_cipher(suite)(key), Cipher(suite, key)
    for size in (0, 1, 15, 16, 17, 64, 1000, 65503):
        plain = os.urandom(size)
        assert ours.seal(plain) == theirs.seal(plain)
        ours.rekey()
        theirs.rekey()


def test_ciphers_agree_with_openssl() -> None:
    key, plain, ad = os.urandom(32), os.urandom(200), b"ad"
    n = (1 << 40) + 7
    chacha = ChaCha20Poly1305(key).encrypt(bytes(4) + n.to_bytes(8, "little"), plain, ad)
    assert ciphers.ChaChaPoly(key, n).seal(plain, ad) == chacha
    aes = AESGCM(key).encrypt(n.to_bytes(12, "big"), plain, ad)
    assert ciphers.AesGcm(key, n).seal(plain, ad) == aes


@pytest.mark.parametrize("suite", [1, 2, 3])
def test_what_does_not_open_keeps_the_nonce(suite: int) -> None:
    key = os.urandom(32)
    sender, receiver = (ciphers.transport_cipher(suite)(key) for _ in range(2))
    sealed = sender.seal(b"hello")
    for wrong in (b"", sealed[:-1], sealed + b"x", bytes(len(sealed))):
        with pytest.raises(ProtocolError):
            receiver.open(wrong)
    assert receiver.open(sealed) == b"hello"


def test_aegis_agrees_with_the_draft_and_with_plain_python() -> None:
    key = bytes.fromhex("10010000000000000000000000000000")
    nonce = bytes.fromhex("10000200000000000000000000000000")
    # draft-irtf-cfrg-aegis-aead, AEGIS-128L test vector 1, 256-bit tag
    expected = (
        "c1c0e58bd913006feba00f4b3cc3594e25835bfbb21632176cf03840687cb968cace4617af1bd0f7d064c639a5c79ee4"
    )
    assert aegis128l.encrypt(key, nonce, bytes(16)).hex() == expected
    for size in (0, 1, 31, 32, 33, 100):
        cipher = ciphers.Aegis128L(key, 5)
        plain = os.urandom(size)
        assert cipher.seal(plain, b"ad") == aegis128l.encrypt(
            key, bytes(8) + b"\x05" + bytes(7), plain, b"ad"
        )

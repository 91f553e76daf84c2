"""AEGIS-128L of libsodium and the plain-Python reference against draft-irtf-cfrg-aegis-aead, 256-bit tags."""

from __future__ import annotations

import pytest
from nacl.bindings import crypto_aead_aegis128l_decrypt, crypto_aead_aegis128l_encrypt

from tests.support import noise_aegis128l

KEY = bytes.fromhex("10010000000000000000000000000000")
NONCE = bytes.fromhex("10000200000000000000000000000000")
# associated data, plaintext, ciphertext, tag: test vectors 1 to 5 of AEGIS-128L
VECTORS = [
    (
        "",
        "00000000000000000000000000000000",
        "c1c0e58bd913006feba00f4b3cc3594e",
        "25835bfbb21632176cf03840687cb968cace4617af1bd0f7d064c639a5c79ee4",
    ),
    ("", "", "", "1360dc9db8ae42455f6e5b6a9d488ea4f2184c4e12120249335c4ee84bafe25d"),
    (
        "0001020304050607",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "79d94593d8c2119d7e8fd9b8fc77845c5c077a05b2528b6ac54b563aed8efe84",
        "022cb796fe7e0ae1197525ff67e309484cfbab6528ddef89f17d74ef8ecd82b3",
    ),
    (
        "0001020304050607",
        "000102030405060708090a0b0c0d",
        "79d94593d8c2119d7e8fd9b8fc77",
        "86f1b80bfb463aba711d15405d094baf4a55a15dbfec81a76f35ed0b9c8b04ac",
    ),
    (
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526272829",
        "101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
        "b31052ad1cca4e291abcf2df3502e6bdb1bfd6db36798be3607b1f94d34478aa7ede7f7a990fec10",
        "b91e2947a33da8bee89b6794e647baf0fc835ff574aca3fc27c33be0db2aff98",
    ),
]


@pytest.mark.parametrize(("ad", "plain", "ciphertext", "tag"), VECTORS)
def test_draft_vectors(ad: str, plain: str, ciphertext: str, tag: str) -> None:
    data, text, sealed = bytes.fromhex(ad), bytes.fromhex(plain), bytes.fromhex(ciphertext + tag)
    assert noise_aegis128l.encrypt(KEY, NONCE, text, data) == sealed
    assert noise_aegis128l.decrypt(KEY, NONCE, sealed, data) == text
    assert crypto_aead_aegis128l_encrypt(text, data, NONCE, KEY) == sealed
    assert crypto_aead_aegis128l_decrypt(sealed, data, NONCE, KEY) == text


def test_the_reference_refuses_a_changed_byte() -> None:
    sealed = bytearray(noise_aegis128l.encrypt(KEY, NONCE, b"plain"))
    for at in range(len(sealed)):
        sealed[at] ^= 0x80
        with pytest.raises(ValueError, match="not authentic"):
            noise_aegis128l.decrypt(KEY, NONCE, bytes(sealed))
        sealed[at] ^= 0x80

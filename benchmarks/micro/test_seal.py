"""Sealing and opening 64 B and 4 KiB, a hundred times each: ours in C, PyNaCl's and cryptography's calls."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_decrypt, crypto_aead_chacha20poly1305_ietf_encrypt
from nacl.secret import SecretBox
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.loops import open_sealed, seal, sealed_once
from crypto.aead import Cipher, tag_size
from frame.constants import Suite

TIMES = 100
KEY = bytes(range(32))
NONCE = bytes(12)
SIZES = (64, 4096)
SUITES = [suite for suite in Suite if tag_size(suite) > 0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suite", SUITES)
def test_seal_in_c(benchmark: BenchmarkFixture, suite: Suite, size: int) -> None:
    benchmark.group = f"seal {size} B x {TIMES}"
    assert benchmark(seal, suite, bytes(size), TIMES) == size + tag_size(suite)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suite", SUITES)
def test_open_in_c(benchmark: BenchmarkFixture, suite: Suite, size: int) -> None:
    benchmark.group = f"open {size} B x {TIMES}"
    assert benchmark(open_sealed, suite, sealed_once(suite, bytes(size)), TIMES) == size


@pytest.mark.parametrize("size", SIZES)
def test_seal_from_python(benchmark: BenchmarkFixture, size: int) -> None:
    benchmark.group = f"seal {size} B x {TIMES}"
    plain = bytes(size)

    def work() -> None:
        cipher = Cipher(Suite.AEGIS128L, KEY)
        for _ in range(TIMES):
            cipher.seal(plain)

    benchmark(work)


@pytest.mark.parametrize("size", SIZES)
def test_seal_pynacl(benchmark: BenchmarkFixture, size: int) -> None:
    benchmark.group = f"seal {size} B x {TIMES}"
    plain = bytes(size)
    benchmark(
        lambda: [crypto_aead_chacha20poly1305_ietf_encrypt(plain, b"", NONCE, KEY) for _ in range(TIMES)]
    )


@pytest.mark.parametrize("size", SIZES)
def test_seal_pynacl_secretbox(benchmark: BenchmarkFixture, size: int) -> None:
    benchmark.group = f"seal {size} B x {TIMES}"
    box, plain, nonce = SecretBox(KEY), bytes(size), bytes(24)
    benchmark(lambda: [box.encrypt(plain, nonce) for _ in range(TIMES)])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [AESGCM, ChaCha20Poly1305])
def test_seal_cryptography(
    benchmark: BenchmarkFixture, kind: type[AESGCM] | type[ChaCha20Poly1305], size: int
) -> None:
    benchmark.group = f"seal {size} B x {TIMES}"
    cipher, plain = kind(KEY), bytes(size)
    benchmark(lambda: [cipher.encrypt(NONCE, plain, None) for _ in range(TIMES)])


@pytest.mark.parametrize("size", SIZES)
def test_open_pynacl(benchmark: BenchmarkFixture, size: int) -> None:
    benchmark.group = f"open {size} B x {TIMES}"
    sealed = crypto_aead_chacha20poly1305_ietf_encrypt(bytes(size), b"", NONCE, KEY)
    benchmark(
        lambda: [crypto_aead_chacha20poly1305_ietf_decrypt(sealed, b"", NONCE, KEY) for _ in range(TIMES)]
    )

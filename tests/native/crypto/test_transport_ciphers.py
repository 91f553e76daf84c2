"""The record ciphers against independent implementations, at their limits, and against changed bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.aead import Cipher, tag_size
from crypto.errors import AuthenticationFailed, NonceExhausted, UnsupportedSuite
from tests.support import noise_aegis128l
from tests.support.noise_peer import SUITES, seeded

TAGS = {1: 16, 2: 16, 3: 32}
LAST = 2**64 - 1  # the nonce kept for rekey


def chachapoly(key: bytes, n: int, plain: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(4) + struct.pack("<Q", n), plain, None)


def aesgcm(key: bytes, n: int, plain: bytes) -> bytes:
    return AESGCM(key).encrypt(bytes(4) + struct.pack(">Q", n), plain, None)


def aegis128l(key: bytes, n: int, plain: bytes) -> bytes:
    return noise_aegis128l.encrypt(key[:16], bytes(8) + struct.pack("<Q", n), plain)


ORACLES: dict[int, Callable[[bytes, int, bytes], bytes]] = {1: chachapoly, 2: aesgcm, 3: aegis128l}

keys = st.binary(min_size=32, max_size=32)
nonces = st.one_of(st.integers(0, 300), st.integers(LAST - 300, LAST - 1), st.integers(0, LAST - 1))


@pytest.mark.parametrize("suite", SUITES)
@settings(max_examples=60, deadline=None)
@given(key=keys, n=nonces, plain=st.binary(max_size=300))
def test_seals_as_an_independent_implementation_does(suite: int, key: bytes, n: int, plain: bytes) -> None:
    expected = ORACLES[suite](key, n, plain)
    cipher = Cipher(suite, key, n)
    assert cipher.seal(plain) == expected
    assert cipher.n == n + 1
    assert Cipher(suite, key, n).open(expected) == plain


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1024, 16_384, 65_503])
def test_seals_and_opens_in_place(suite: int, size: int) -> None:
    rng = seeded(size)
    key, plain = rng.randbytes(32), rng.randbytes(size)
    apart = Cipher(suite, key).seal(plain)
    buffer = bytearray(plain) + bytearray(64)
    tag = Cipher(suite, key).tag_size
    assert Cipher(suite, key).seal_in_place(buffer, size) == size + tag
    assert bytes(buffer[: size + tag]) == apart
    assert not any(buffer[size + tag :])  # not a byte behind the tag
    assert Cipher(suite, key).open_in_place(buffer, size + tag) == size
    assert bytes(buffer[:size]) == plain


@pytest.mark.parametrize("suite", SUITES)
def test_a_changed_byte_anywhere_is_refused_and_the_nonce_stays(suite: int) -> None:
    rng = seeded()
    key, plain = rng.randbytes(32), rng.randbytes(70)
    sealed = Cipher(suite, key).seal(plain)
    receiver = Cipher(suite, key)
    for at in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[at] ^= 1 << bit
            with pytest.raises(AuthenticationFailed):
                receiver.open(bytes(changed))
    assert receiver.n == 0
    assert receiver.open(sealed) == plain


@pytest.mark.parametrize("suite", SUITES)
def test_cut_stretched_replayed_and_reordered_records_are_refused(suite: int) -> None:
    key = seeded().randbytes(32)
    sender, receiver = Cipher(suite, key), Cipher(suite, key)
    first, second = sender.seal(b"first record"), sender.seal(b"second record")
    for size in range(len(first)):
        with pytest.raises(AuthenticationFailed):
            receiver.open(first[:size])
    for wrong in (first + b"\0", b"\0" + first, second):
        with pytest.raises(AuthenticationFailed):
            receiver.open(wrong)
    assert receiver.open(first) == b"first record"
    with pytest.raises(AuthenticationFailed):
        receiver.open(first)
    assert receiver.open(second) == b"second record"


@pytest.mark.parametrize("suite", SUITES)
def test_a_failed_record_leaves_no_plaintext_behind(suite: int) -> None:
    key, plain = seeded().randbytes(32), b"must not be seen" * 8
    buffer = bytearray(Cipher(suite, key).seal(plain))
    buffer[-1] ^= 1
    with pytest.raises(AuthenticationFailed):
        Cipher(suite, key).open_in_place(buffer, len(buffer))
    assert b"must not be seen" not in bytes(buffer)


@pytest.mark.parametrize("suite", SUITES)
def test_an_exhausted_nonce_refuses_to_seal_and_to_open(suite: int) -> None:
    key = bytes(range(32))
    sender, receiver = Cipher(suite, key, LAST - 1), Cipher(suite, key, LAST - 1)
    assert receiver.open(sender.seal(b"the last")) == b"the last"
    for _ in range(3):
        with pytest.raises(NonceExhausted):
            sender.seal(b"one more")
        with pytest.raises(NonceExhausted):
            receiver.open(bytes(64))
        sender.rekey()
    assert sender.n == receiver.n == LAST


@pytest.mark.parametrize("suite", SUITES)
def test_rekey_is_noise_rekey_and_keeps_the_nonce(suite: int) -> None:
    rng = seeded()
    key = rng.randbytes(32)
    size = 16 if suite == 3 else 32
    fresh = ORACLES[suite](key, LAST, bytes(size))[:size]
    cipher = Cipher(suite, key, 7)
    cipher.rekey()
    assert cipher.n == 7
    assert cipher.seal(b"after") == ORACLES[suite](fresh, 7, b"after")


@pytest.mark.parametrize("suite", SUITES)
def test_rekeys_out_of_step_are_noticed(suite: int) -> None:
    sender, receiver = Cipher(suite, bytes(32)), Cipher(suite, bytes(32))
    sender.rekey()
    sealed = sender.seal(b"new key")
    with pytest.raises(AuthenticationFailed):
        receiver.open(sealed)
    receiver.rekey()
    assert receiver.open(sealed) == b"new key"


def test_suite_3_uses_the_first_half_of_the_key_only() -> None:
    key = seeded().randbytes(32)
    assert (
        Cipher(3, key).seal(b"x")
        == Cipher(3, key[:16]).seal(b"x")
        == Cipher(3, key[:16] + bytes(16)).seal(b"x")
    )


@pytest.mark.parametrize("suite", SUITES)
def test_tag_sizes_and_the_longest_record(suite: int) -> None:
    cipher = Cipher(suite, bytes(32))
    assert cipher.tag_size == tag_size(suite) == TAGS[suite]
    longest = 65_535 - cipher.tag_size
    assert len(cipher.seal(bytes(longest))) == 65_535
    with pytest.raises(ValueError, match="do not fit"):
        cipher.seal(bytes(longest + 1))
    assert cipher.n == 1


@pytest.mark.parametrize("suite", [-1, 0, 4, 255])
def test_unknown_suites_are_refused(suite: int) -> None:
    with pytest.raises(UnsupportedSuite):
        Cipher(suite, bytes(32))
    with pytest.raises(UnsupportedSuite):
        tag_size(suite)


@pytest.mark.parametrize(("suite", "size"), [(1, 31), (2, 16), (3, 31), (1, 0), (3, 0), (1, 33)])
def test_keys_of_another_size_are_refused(suite: int, size: int) -> None:
    with pytest.raises(ValueError, match="key of"):
        Cipher(suite, bytes(size))

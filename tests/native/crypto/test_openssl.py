"""ChaCha20-Poly1305 of long records: OpenSSL and libsodium are one cipher, and either may be missing."""

from __future__ import annotations

import ctypes
import importlib
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from crypto import openssl
from crypto.aead import Cipher
from crypto.errors import AuthenticationFailed
from tests.support.noise_peer import seeded

ROOT = Path(__file__).resolve().parents[3]
CHACHAPOLY = 1
LEAST = 768
SIZES = [0, 64, LEAST - 17, LEAST - 16, LEAST - 1, LEAST, LEAST + 1, 1024, 4096, 16_367, 65_519]
LAST = 2**64 - 1


@pytest.fixture(autouse=True)
def taken_again() -> Iterator[None]:
    yield
    openssl.use(True)


@pytest.mark.parametrize("size", SIZES)
def test_both_libraries_write_and_read_the_same_bytes(size: int) -> None:
    rng = seeded(size)
    key, plain, n = rng.randbytes(32), rng.randbytes(size), rng.randrange(LAST)
    nonce = bytes(4) + struct.pack("<Q", n)
    expected = ChaCha20Poly1305(key).encrypt(nonce, plain, None)
    for sealing in (True, False):
        openssl.use(sealing)
        assert Cipher(CHACHAPOLY, key, n).seal(plain) == expected
        buffer = bytearray(plain) + bytearray(48)
        assert Cipher(CHACHAPOLY, key, n).seal_in_place(buffer, size) == size + 16
        assert bytes(buffer) == expected + bytes(32)
        openssl.use(not sealing)
        assert Cipher(CHACHAPOLY, key, n).open(expected) == plain
        assert Cipher(CHACHAPOLY, key, n).open_in_place(buffer, size + 16) == size
        assert bytes(buffer[:size]) == plain


def test_a_changed_long_record_is_refused_leaves_zeros_and_the_nonce_stays() -> None:
    rng = seeded()
    key, plain = rng.randbytes(32), b"must not be seen" * 256
    sealed = Cipher(CHACHAPOLY, key).seal(plain)
    receiver = Cipher(CHACHAPOLY, key)
    places = [*range(16), *rng.sample(range(len(sealed)), 200), *range(len(sealed) - 16, len(sealed))]
    for at in places:
        changed = bytearray(sealed)
        changed[at] ^= 1 << rng.randrange(8)
        with pytest.raises(AuthenticationFailed):
            receiver.open_in_place(changed, len(changed))
        assert not any(changed[: len(plain)])
    for size in (LEAST, len(sealed) - 1):
        with pytest.raises(AuthenticationFailed):
            receiver.open(sealed[:size])
    assert receiver.n == 0
    assert receiver.open(sealed) == plain


def test_keys_directions_and_failures_in_turn_do_not_mix() -> None:
    rng = seeded()
    keys = [rng.randbytes(32) for _ in range(5)]
    senders = [Cipher(CHACHAPOLY, key) for key in keys]
    receivers = [Cipher(CHACHAPOLY, key) for key in keys]
    under_way: list[tuple[int, bytes, bytes]] = []
    for _ in range(400):
        at = rng.randrange(5)
        plain = rng.randbytes(rng.choice([50, LEAST, 3000]))
        under_way.append((at, plain, senders[at].seal(plain)))
        if rng.random() < 0.3:
            with pytest.raises(AuthenticationFailed):
                receivers[at].open(rng.randbytes(2000))
        while under_way and rng.random() < 0.6:
            at, plain, sealed = under_way.pop(0)
            assert receivers[at].open(sealed) == plain
    for at, plain, sealed in under_way:
        assert receivers[at].open(sealed) == plain


def test_no_key_stays_behind() -> None:
    """Of a key that only C has ever held: it comes from a rekey, and is computed here after the search."""
    key = seeded().randbytes(32)
    cipher = Cipher(CHACHAPOLY, key)
    cipher.rekey()
    sealed = cipher.seal(bytes(4096))
    reader = Cipher(CHACHAPOLY, key)
    reader.rekey()
    assert reader.open(sealed) == bytes(4096)
    del cipher, reader
    memory = heap()
    fresh = ChaCha20Poly1305(key).encrypt(bytes(4) + struct.pack("<Q", LAST), bytes(32), None)[:32]
    assert ChaCha20Poly1305(fresh).decrypt(bytes(12), sealed, None) == bytes(4096)
    assert fresh not in memory


LARGEST = 64 << 20


def heap() -> bytes:
    """What malloc has from brk(); from mmap() where it takes all from there, as AddressSanitizer's does."""
    heaps, others = [], []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as mem:
        for line in maps:
            where, rights, _, _, inode, *name = line.split()
            start, end = (int(part, 16) for part in where.split("-"))
            if name == ["[heap]"] or (
                not name and inode == "0" and rights == "rw-p" and end - start < LARGEST
            ):
                mem.seek(start)
                (heaps if name else others).append(mem.read(end - start))
    return b"".join(heaps or others)


class Mallinfo(ctypes.Structure):
    """mallinfo(3): ten sizes, of which the eighth is the bytes in use."""

    _fields_ = tuple((f"size_{number}", ctypes.c_size_t) for number in range(1, 11))


def test_a_thread_that_ends_frees_its_context() -> None:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    plain = bytes(2000)

    def many(count: int) -> int:
        for number in range(count):
            thread = threading.Thread(target=Cipher(CHACHAPOLY, bytes(32), number).seal, args=(plain,))
            thread.start()
            thread.join()
        return int(mallinfo().size_8)

    before = many(200)
    assert many(2000) - before < 2000 * 100  # a context is some 700 bytes


def test_what_hashlib_shows_is_used() -> None:
    hashlib = importlib.import_module("_hashlib")
    shown = hasattr(ctypes.CDLL(hashlib.__file__), "EVP_CIPHER_fetch")
    assert openssl.VERSION.startswith("OpenSSL 3") if shown else not openssl.VERSION


@pytest.mark.parametrize(
    "hidden", ["sys.modules['_hashlib'] = None", "import _hashlib; _hashlib.__file__ = '/none.so'"]
)
def test_without_openssl_libsodium_serves(hidden: str) -> None:
    script = (
        f"import sys; {hidden}\n"
        "from crypto import openssl; from crypto.aead import Cipher\n"
        "assert openssl.VERSION == ''; openssl.use(True)\n"
        "print(Cipher(1, bytes(32)).seal(bytes(4096)).hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert bytes.fromhex(done.stdout) == Cipher(CHACHAPOLY, bytes(32)).seal(bytes(4096))

"""SHA-256 and HKDF of the handshake against the standard library."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.symmetric import hkdf, sha256_digest
from tests.support.noise_peer import seeded


@pytest.mark.parametrize("portable", [False, True])
def test_sha256_agrees_for_every_length_around_the_block(portable: bool) -> None:
    rng = seeded()
    for size in [*range(260), 1023, 1024, 2080, 65_536 + 7]:
        data = rng.randbytes(size)
        assert sha256_digest(data, portable) == hashlib.sha256(data).digest(), size


@settings(deadline=None)
@given(st.binary(max_size=700), st.integers(0, 15))
def test_sha256_agrees_wherever_the_data_begins(data: bytes, offset: int) -> None:
    shifted = memoryview(bytes(offset) + data)[offset:]
    assert sha256_digest(shifted) == hashlib.sha256(data).digest()


def reference_hkdf(ck: bytes, ikm: bytes) -> tuple[bytes, bytes, bytes]:
    """Noise section 4.3."""
    temp = hmac.digest(ck, ikm, "sha256")
    first = hmac.digest(temp, b"\x01", "sha256")
    second = hmac.digest(temp, first + b"\x02", "sha256")
    return first, second, hmac.digest(temp, second + b"\x03", "sha256")


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)))
def test_hkdf_agrees(ck: bytes, ikm: bytes) -> None:
    assert hkdf(ck, ikm) == reference_hkdf(ck, ikm)


@pytest.mark.parametrize(("ck", "ikm"), [(b"", b""), (bytes(31), b""), (bytes(32), bytes(33))])
def test_hkdf_refuses_other_sizes(ck: bytes, ikm: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        hkdf(ck, ikm)

"""X25519 of several at once gives what libsodium gives for each, and the vectors of RFC 7748."""

from __future__ import annotations

import pytest
from nacl.bindings import crypto_scalarmult
from nacl.exceptions import RuntimeError as SodiumError

from crypto.x25519 import multiply
from tests.support.noise_peer import seeded

P = 2**255 - 19
LIMB = (1 << 51) - 1
BASE = (9).to_bytes(32, "little")
# RFC 7748, section 5.2: scalar, point, product
VECTORS = (
    (
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ),
    (
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ),
)
# section 5.2 again: k and u are 9 at first, then k becomes k * u and u the former k
AFTER_ONE = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
AFTER_THOUSAND = "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"
PORTABLE = pytest.mark.parametrize("portable", [False, True])


def by_sodium(scalar: bytes, point: bytes) -> bytes:
    """The product, or zeros where libsodium refuses the point."""
    try:
        return crypto_scalarmult(scalar, point)
    except SodiumError:
        return bytes(32)


@PORTABLE
def test_the_vectors_hold_in_every_lane(portable: bool) -> None:
    cases = [tuple(bytes.fromhex(part) for part in vector) for vector in VECTORS]
    for first in range(8):
        pairs = [cases[(first + lane) % 2][:2] for lane in range(8)]
        wanted = [cases[(first + lane) % 2][2] for lane in range(8)]
        assert multiply([(a, b) for a, b in pairs], portable) == wanted


@PORTABLE
def test_a_thousand_in_a_row_end_where_the_standard_says(portable: bool) -> None:
    k = u = BASE
    for _ in range(1):
        k, u = multiply([(k, u)], portable)[0], k
    assert k.hex() == AFTER_ONE
    for _ in range(999):
        k, u = multiply([(k, u)], portable)[0], k
    assert k.hex() == AFTER_THOUSAND


def test_random_scalars_and_points_agree_with_libsodium() -> None:
    rng = seeded()
    for size in [*range(9), *[8] * 300]:
        pairs = [(rng.randbytes(32), rng.randbytes(32)) for _ in range(size)]
        assert multiply(pairs) == [by_sodium(*pair) for pair in pairs]


def test_points_at_the_edges_of_the_field_agree_with_libsodium() -> None:
    rng = seeded()
    numbers = [*range(40), *(P + n for n in range(-20, 19))]
    numbers += [2**n - d for n in range(5, 255) for d in (0, 1)]
    numbers += [sum(LIMB << 51 * limb for limb in range(5) if mask >> limb & 1) for mask in range(32)]
    points = [(number | high).to_bytes(32, "little") for number in numbers for high in (0, 1 << 255)]
    for at in range(0, len(points), 8):
        scalars = (rng.choice([rng.randbytes(32), bytes(32), b"\xff" * 32]) for _ in range(8))
        pairs = list(zip(scalars, points[at : at + 8], strict=False))
        assert multiply(pairs) == [by_sodium(*pair) for pair in pairs], points[at : at + 8]


@PORTABLE
def test_points_of_low_order_give_zeros_and_harm_no_other_lane(portable: bool) -> None:
    low = [
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        P - 1,
        P,
        P + 1,
    ]
    rng = seeded()
    for number in low:
        scalar = rng.randbytes(32)
        found = multiply([(scalar, BASE), (scalar, number.to_bytes(32, "little")), (scalar, BASE)], portable)
        assert found == [crypto_scalarmult(scalar, BASE), bytes(32), crypto_scalarmult(scalar, BASE)]


def test_other_sizes_are_refused() -> None:
    for pairs in ([(bytes(31), BASE)], [(BASE, bytes(33))], [(BASE, BASE)] * 9):
        with pytest.raises(ValueError, match="at most 8 pairs of 32 bytes"):
            multiply(pairs)

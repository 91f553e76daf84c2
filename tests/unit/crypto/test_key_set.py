"""The signed key set: the bytes of the protocol, and no byte that can be changed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from control.keys.server_keys import RootKey
from crypto.errors import KeySetError
from crypto.key_set import KeyEntry, build, parse_root, root_text, verify
from tests.support.noise_peer import seeded

ROOT = RootKey.from_seed(bytes(range(32)))
OTHER = RootKey.from_seed(bytes(32))
ENTRIES = (KeyEntry(1, b"\x11" * 32, 100, 200), KeyEntry(0xABCD, b"\x22" * 32, 150, 0xFFFF_FFFF))


def test_the_layout_is_the_one_of_the_protocol() -> None:
    data = build(ROOT.sign, 0x01020304, ENTRIES)
    body = b"".join(
        (
            b"QWKS\x01\x01\x02\x03\x04\x02",
            b"\x00\x01" + b"\x11" * 32 + b"\x00\x00\x00\x64\x00\x00\x00\xc8",
            b"\xab\xcd" + b"\x22" * 32 + b"\x00\x00\x00\x96\xff\xff\xff\xff",
        )
    )
    assert data == body + SigningKey(bytes(range(32))).sign(body).signature
    assert verify(data, ROOT.public) == (0x01020304, ENTRIES)


entries = st.lists(
    st.builds(
        lambda key_id, public, start, length: KeyEntry(key_id, public, start, start + length),
        st.integers(0, 65_535),
        st.binary(min_size=32, max_size=32),
        st.integers(0, 2**31),
        st.integers(1, 2**30),
    ),
    min_size=1,
    max_size=255,
    unique_by=lambda entry: entry.key_id,
)


@given(st.integers(0, 2**32 - 1), entries)
def test_what_is_built_is_verified(issued_at: int, keys: list[KeyEntry]) -> None:
    assert verify(build(ROOT.sign, issued_at, keys), ROOT.public) == (issued_at, tuple(keys))


def test_a_changed_byte_anywhere_is_refused() -> None:
    data = build(ROOT.sign, 7, ENTRIES)
    rng = seeded()
    for at in range(len(data)):
        for flip in (0x01, 0x80, rng.randrange(1, 256)):
            changed = bytearray(data)
            changed[at] ^= flip
            with pytest.raises(KeySetError):
                verify(bytes(changed), ROOT.public)


def test_cut_stretched_and_foreign_key_sets_are_refused() -> None:
    data = build(ROOT.sign, 7, ENTRIES)
    for size in range(len(data)):
        with pytest.raises(KeySetError):
            verify(data[:size], ROOT.public)
    for wrong in (data + b"\0", b"\0" + data, data + data):
        with pytest.raises(KeySetError):
            verify(wrong, ROOT.public)
    with pytest.raises(KeySetError, match="not signed by this root"):
        verify(build(OTHER.sign, 7, ENTRIES), ROOT.public)


@pytest.mark.parametrize(
    "body",
    [
        b"QWKX\x01" + bytes(4) + b"\x00",
        b"QWKS\x02" + bytes(4) + b"\x00",
        b"QWKS\x01" + bytes(4) + b"\x00",
        b"QWKS\x01" + bytes(4) + b"\x01" + bytes(41),
        b"QWKS\x01" + bytes(4) + b"\x01" + bytes(43),
        b"QWKS\x01" + bytes(4) + b"\x02" + bytes(42),
        b"QWKS\x01" + bytes(4) + b"\x02" + bytes(84),
    ],
)
def test_even_the_root_cannot_sign_nonsense(body: bytes) -> None:
    with pytest.raises(KeySetError):
        verify(body + ROOT.sign(body), ROOT.public)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [KeyEntry(i, bytes(32), 0, 1) for i in range(256)],
        [KeyEntry(1, bytes(32), 0, 1), KeyEntry(1, bytes(32), 5, 9)],
        [KeyEntry(65_536, bytes(32), 0, 1)],
        [KeyEntry(-1, bytes(32), 0, 1)],
        [KeyEntry(1, bytes(31), 0, 1)],
        [KeyEntry(1, bytes(33), 0, 1)],
        [KeyEntry(1, bytes(32), 5, 5)],
        [KeyEntry(1, bytes(32), 0, 2**32)],
    ],
)
def test_what_does_not_fit_is_not_built(keys: list[KeyEntry]) -> None:
    with pytest.raises(KeySetError):
        build(ROOT.sign, 0, keys)


def test_the_best_key_is_the_youngest_that_holds() -> None:
    keys = verify(build(ROOT.sign, 0, ENTRIES), ROOT.public)
    chosen = {now: keys.best(now) for now in (99, 100, 149, 150, 199, 200, 2**32 - 2, 2**32 - 1)}
    assert {now: entry and entry.key_id for now, entry in chosen.items()} == {
        99: None,
        100: 1,
        149: 1,
        150: 0xABCD,
        199: 0xABCD,
        200: 0xABCD,
        2**32 - 2: 0xABCD,
        2**32 - 1: None,
    }


def test_root_text_comes_back_and_is_strict() -> None:
    text = root_text(ROOT.public)
    assert text == "qwroot1.A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
    assert parse_root(text) == ROOT.public
    for wrong in (
        "",
        text[8:],
        text[:-1],
        text + "A",
        text + "=",
        text.replace("qwroot1", "qwroot2"),
        text[:-1] + "h",
    ):
        with pytest.raises(KeySetError):
            parse_root(wrong)


def test_times_and_ids_are_big_endian_unsigned() -> None:
    data = build(ROOT.sign, 2**32 - 1, [KeyEntry(65_535, bytes(32), 0, 2**32 - 1)])
    assert struct.unpack_from(">IBH", data, 5) == (2**32 - 1, 1, 65_535)

"""Unfinished input: kept byte for byte, as small as promised, and gone when it is used."""

from __future__ import annotations

import os

import pytest
from tests.native.gateway_core.faces.net import Input


def test_bytes_come_back_as_they_were_kept() -> None:
    buf = Input()
    assert buf.kept() == (b"", b"")
    data = os.urandom(1000)
    assert buf.keep(data, raw=9)
    assert buf.kept() == (data[:-9], data[-9:])
    assert buf.keep(b"less")
    assert buf.kept() == (b"less", b"")
    assert buf.live() == (1, 4, 0)


@pytest.mark.parametrize(("exact", "spare"), [(True, 0), (False, 255)])
def test_a_buffer_is_never_larger_than_promised(exact: bool, spare: int) -> None:
    buf = Input()
    for n in (700, 10, 400, 399, 398, 144, 143, 1000, 1):
        assert buf.keep(bytes(n), exact=exact)
        assert n <= buf.capacity() <= n + spare


def test_a_buffer_with_room_is_used_again() -> None:
    buf = Input()
    buf.keep(bytes(400), exact=False)
    before = buf.address()
    buf.keep(b"x" * 300, exact=False)
    assert (buf.address(), buf.kept()[0]) == (before, b"x" * 300)


def test_nothing_kept_owns_nothing() -> None:
    buf = Input()
    buf.keep(b"partial")
    buf.done()
    assert (buf.capacity(), buf.live()) == (None, (0, 0, 0))
    buf.keep(b"partial")
    buf.keep(b"")
    assert (buf.capacity(), buf.live()) == (None, (0, 0, 0))


def test_a_websocket_keeps_its_place_and_its_raw_bytes() -> None:
    buf = Input()
    assert buf.websocket()
    assert buf.place(left=77) == 77
    assert buf.live() == (1, 0, 1)
    buf.keep(b"record" + b"\x82\xfe", raw=2)
    buf.done()
    assert (buf.kept(), buf.place(), buf.capacity()) == ((b"", b"\x82\xfe"), 77, 2), (
        "the record's room is given back"
    )
    buf.keep(b"")
    assert (buf.kept(), buf.place(), buf.live()) == ((b"", b""), 77, (1, 0, 1))
    buf.drop()
    buf.drop()
    assert buf.live() == (0, 0, 0)

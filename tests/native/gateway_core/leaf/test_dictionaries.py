"""What a loop keeps of dictionaries: one to send by, the last eight to read, each freed once."""

from __future__ import annotations

import zstandard
from tests.native.gateway_core.faces.leaf import Frames, KeptDictionaries, buffers_alive

from frame.constants import FrameType
from frame.frames import parse

SAMPLES = [
    f"{{'text': 'hello {n}', 'sender': 'user{n % 7}', 'room': 'hall'}}".encode() * 2 for n in range(2000)
]


def trained(id: int) -> bytes:
    return zstandard.train_dictionary(2048, SAMPLES, dict_id=id).as_bytes()


def test_the_newest_is_sent_by_and_the_oldest_goes() -> None:
    before = buffers_alive()
    kept = KeptDictionaries()
    for id in range(1, 11):
        assert kept.set(trained(id))
        assert kept.sending() == id
    assert kept.ids() == list(range(3, 11))
    assert [kept.found(id) for id in (2, 3, 10)] == [False, True, True]
    assert kept.set(trained(5)), "again"
    assert kept.ids() == [3, 4, 6, 7, 8, 9, 10, 5]
    assert kept.set(b"")
    assert (kept.sending(), kept.found(5)) == (0, True)
    assert not kept.set(b"no dictionary")
    del kept
    assert buffers_alive() == before


def test_a_body_has_a_twin_by_the_dictionary_and_one_without() -> None:
    before = buffers_alive()
    kept, other, without = KeptDictionaries(), KeptDictionaries(), KeptDictionaries()
    kept.set(trained(7))
    other.set(trained(8))
    body = Frames(FrameType.MSG, b"", b"".join(SAMPLES[:8]))
    by_dictionary = kept.packed(body)
    _, frame = parse(by_dictionary)
    assert frame is not None
    raw = zstandard.ZstdDecompressor(zstandard.ZstdCompressionDict(trained(7))).decompress(frame.body[2:])
    assert raw == b"".join(SAMPLES[:8])
    assert other.packed(body) == without.packed(body) == body.packed() != by_dictionary, (
        "the first one's stays"
    )
    assert kept.packed(body) == by_dictionary
    del body
    small = Frames(FrameType.MSG, b"", b"x" * 63)
    assert kept.packed(small) == small.data()
    del small
    del kept, other, without
    assert buffers_alive() == before

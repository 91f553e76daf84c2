"""A client asks for the dictionary that the server names, keeps it, and has it used from then on."""

from __future__ import annotations

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from qianwan import constants as c
from qianwan.constants import FrameType
from qianwan.errors import ProtocolError
from qianwan.protocol.dictionaries import KEPT, Dictionaries
from qianwan.protocol.wire import Wire

from tests.support.qw1_responder import Responder, frame, uv

SAMPLES = [f"{{'text': 'hello {n}', 'sender': 'user{n % 7}', 'room': 'hall'}}".encode() for n in range(3000)]
RAW = b"\x01" + SAMPLES[17] * 2


def trained(id: int) -> bytes:
    return zstandard.train_dictionary(2048, SAMPLES, dict_id=id).as_bytes()


DICTIONARY = trained(40_001)


def connected(dictionaries: Dictionaries, *, named: int, compression: bool = True) -> tuple[Wire, Responder]:
    static = X25519PrivateKey.generate()
    server = Responder(static.private_bytes_raw())
    public = static.public_key().public_bytes_raw()
    wire = Wire(1, 7, public, compression=compression, dictionaries=dictionaries)
    server.buffer = wire.start()
    hello = server.hello()
    assert hello is not None
    field = uv(named)
    wire.feed(server.accept(hello[1], uv(c.HelloTlv.DICTIONARY) + uv(len(field)) + field if named else b""))
    wire.feed(server.seal(frame(FrameType.AUTH_OK, b"")))
    return wire, server


def said(wire: Wire, server: Responder) -> list[tuple[int, bytes]]:
    server.buffer += wire.flush(0.0)
    return [(taken.kind, taken.body) for taken in server.frames()]


def packed(raw: bytes, dictionary: bytes) -> bytes:
    by = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(dictionary))
    body = uv(len(raw)) + by.compress(raw)
    return bytes((FrameType.EVENT | c.FLAG_COMPRESSED,)) + uv(len(body)) + body


def test_the_first_connection_asks_and_the_next_one_has_it() -> None:
    dictionaries = Dictionaries()
    wire, server = connected(dictionaries, named=40_001)
    assert said(wire, server) == [(FrameType.DICTIONARY, uv(40_001) + b"\0")]
    wire.feed(server.seal(frame(FrameType.DICTIONARY, uv(40_001) + DICTIONARY)))
    assert said(wire, server) == [(FrameType.DICTIONARY, uv(40_001) + b"\1")]
    wire.feed(server.seal(frame(FrameType.REKEY)))
    wire, server = connected(dictionaries, named=40_001)
    assert said(wire, server) == [(FrameType.DICTIONARY, uv(40_001) + b"\1")]
    (event,) = wire.feed(server.seal(packed(RAW, DICTIONARY)))
    assert event.body == RAW
    wire.write(FrameType.SEND, RAW)
    sealed = wire.flush(0.0)
    assert len(sealed) < len(RAW)


def test_who_takes_no_compressed_bodies_and_where_none_is_named_nothing_is_said() -> None:
    for named, compression in ((0, True), (40_001, False)):
        assert said(*connected(Dictionaries(), named=named, compression=compression)) == []


def test_a_body_by_a_dictionary_that_is_not_held_breaks_the_protocol() -> None:
    wire, server = connected(Dictionaries(), named=40_001)
    with pytest.raises(ProtocolError):
        wire.feed(server.seal(packed(RAW, DICTIONARY)))


@pytest.mark.parametrize(
    "body", [uv(40_002) + DICTIONARY, uv(40_001) + DICTIONARY[:40], uv(5) + b"words alone", uv(0), b""]
)
def test_what_is_no_dictionary_of_its_id_breaks_the_protocol(body: bytes) -> None:
    wire, server = connected(Dictionaries(), named=40_001)
    with pytest.raises(ProtocolError):
        wire.feed(server.seal(frame(FrameType.DICTIONARY, body)))


def test_the_oldest_goes() -> None:
    dictionaries = Dictionaries()
    ids = range(1, KEPT + 3)
    for id in ids:
        dictionaries.take(id, trained(id))
    assert [id in dictionaries for id in ids] == [False] * 2 + [True] * KEPT

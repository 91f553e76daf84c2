"""The codec of message bodies: msgspec's array-like structs against maps, JSON and the standard library."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

GROUP = "encode and decode one message"


class Message(msgspec.Struct, array_like=True):
    """The Message of the protocol."""

    conversation: str
    seq: int
    server_id: int
    time_ms: int
    sender: str
    client_id: str
    kind: int
    body: dict[str, str]
    options: dict[str, bool]
    ext: str | None
    flags: int


class NamedMessage(msgspec.Struct):
    """The same with names on the wire."""

    conversation: str
    seq: int
    server_id: int
    time_ms: int
    sender: str
    client_id: str
    kind: int
    body: dict[str, str]
    options: dict[str, bool]
    ext: str | None
    flags: int


VALUES: tuple[Any, ...] = (
    "s/alice/bob", 42, 1 << 60, 1_700_000_000_000, "alice", "c-0001", 0, {"text": "x" * 60}, {}, None, 0,
)  # fmt: skip


@pytest.mark.benchmark(group=GROUP)
@pytest.mark.parametrize("kind", [Message, NamedMessage])
def test_msgspec_msgpack(benchmark: BenchmarkFixture, kind: type[Message] | type[NamedMessage]) -> None:
    message: Message | NamedMessage = kind(*VALUES)
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(kind).decode
    assert benchmark(lambda: decode(encode(message))) == message


@pytest.mark.benchmark(group=GROUP)
def test_msgspec_json(benchmark: BenchmarkFixture) -> None:
    message = NamedMessage(*VALUES)
    encode, decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(NamedMessage).decode
    assert benchmark(lambda: decode(encode(message))) == message


@pytest.mark.benchmark(group=GROUP)
def test_standard_json(benchmark: BenchmarkFixture) -> None:
    message = dict(zip(NamedMessage.__struct_fields__, VALUES, strict=True))
    assert benchmark(lambda: json.loads(json.dumps(message))) == message

"""The messages of etcd's API, from shipped descriptors (tools/etcd.proto): there is no generated code, so any
protobuf runtime from 4.25 on reads them.
"""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

DESCRIPTORS = Path(__file__).with_name("descriptors.b64")
PACKAGE = "qianwan.etcd"


@cache
def messages() -> SimpleNamespace:
    """Name -> class, in a pool of their own. Loads protobuf."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(DESCRIPTORS.read_bytes()))
    for file in files.file:
        pool.Add(file)
    return SimpleNamespace(
        **{
            kind.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{kind.name}"))
            for file in files.file
            for kind in file.message_type
        }
    )


class KeyValue(NamedTuple):
    """A key at one revision. `created`: when it was made last, `revision`: when it was written last."""

    key: bytes
    value: bytes
    created: int
    revision: int
    lease: int


class Found(NamedTuple):
    """Keys in order, as they were at `revision` of the whole store."""

    keys: tuple[KeyValue, ...]
    revision: int
    more: bool = False


class Check(NamedTuple):
    """A condition of a transaction: `target` of the key (`create`, `mod` or `version`) is `value`."""

    key: bytes
    target: str
    value: int


class Read(NamedTuple):
    """An operation of a transaction; `end` empty: the key alone."""

    key: bytes
    end: bytes = b""


class Put(NamedTuple):
    """An operation of a transaction; `lease` 0: none."""

    key: bytes
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    """An operation of a transaction; `end` empty: the key alone."""

    key: bytes
    end: bytes = b""


Op = Read | Put | Delete


class Outcome(NamedTuple):
    """Whether the checks held, the revision then, and what each Read of the branch found, in order."""

    held: bool
    revision: int
    found: tuple[Found, ...]


class Health(NamedTuple):
    """What one member tells of itself; `problem` None: it is well."""

    endpoint: str
    version: str = ""
    leader: bool = False
    revision: int = 0
    size_bytes: int = 0
    problem: str | None = None


def end_of(prefix: bytes) -> bytes:
    """The first key behind all that begin with the prefix; of the empty one `\\0`, which means all keys."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"

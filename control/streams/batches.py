"""Operations become batches, one per peer and loop turn, and batches become operations again."""

from __future__ import annotations

import asyncio
import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from control.logs import get_logger

log = get_logger("batches")

MAX_BATCH_BYTES = 256 << 10
"""From here on a batch is handed over, whatever the bus would carry."""
SMALL = 256
"""Bytes an operation of a few names and numbers takes at most, about."""

encode = msgspec.msgpack.Encoder().encode
_loose = msgspec.msgpack.Decoder(tuple[int, list[msgspec.Raw]]).decode

Operation = TypeVar("Operation", bound=msgspec.Struct)


class Batcher(Generic[Operation]):
    """Collects operations per peer and hands them over when the loop turn ends, or when they are many.

    `push(peer, operations)` is called with the operations in the order of `add`.
    """

    def __init__(self, push: Callable[[int, list[Operation]], None]) -> None:
        self._push = push
        self._waiting: dict[int, list[Operation]] = {}
        self._bytes: dict[int, int] = {}
        self._scheduled = False

    def add(self, peer: int, operation: Operation, size: int = SMALL) -> None:
        """`size`: its bytes, about. The same operation may be added for several peers."""
        waiting = self._waiting.get(peer)
        if waiting is None:
            self._waiting[peer] = [operation]
            self._bytes[peer] = size
            if not self._scheduled:
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self.flush)
        else:
            waiting.append(operation)
            self._bytes[peer] += size
        if self._bytes[peer] >= MAX_BATCH_BYTES:
            self._flush_peer(peer)

    def last(self, peer: int) -> Operation | None:
        """What was added last for this peer, while it waits. Whoever added it may let it grow."""
        waiting = self._waiting.get(peer)
        return waiting[-1] if waiting else None

    def grown(self, peer: int, size: int) -> None:
        """The last one has, by so many bytes."""
        self._bytes[peer] += size
        if self._bytes[peer] >= MAX_BATCH_BYTES:
            self._flush_peer(peer)

    def drop(self, peer: int) -> int:
        """Forget what waits for this peer. Returns how many operations that were."""
        self._bytes.pop(peer, None)
        return len(self._waiting.pop(peer, ()))

    def flush(self) -> None:
        self._scheduled = False
        for peer in list(self._waiting):
            self._flush_peer(peer)

    def _flush_peer(self, peer: int) -> None:
        operations = self._waiting.pop(peer, None)
        if operations:
            del self._bytes[peer]
            self._push(peer, operations)


def carried(
    whole: Callable[[list[Operation]], msgspec.Struct],
    operations: list[Operation],
    limit: int,
    halves: Callable[[Operation], tuple[Operation, Operation] | None],
    refused: Callable[[Operation], None],
) -> Iterator[bytes]:
    """Encoded batches of at most `limit` bytes with these operations in order. `halves` divides an operation
    that is too large by itself; what cannot be divided goes to `refused` and costs nobody else anything.
    """
    encoded = encode(whole(operations))
    if len(encoded) <= limit:
        yield encoded
    elif len(operations) > 1:
        half = len(operations) // 2
        yield from carried(whole, operations[:half], limit, halves, refused)
        yield from carried(whole, operations[half:], limit, halves, refused)
    elif (parts := halves(operations[0])) is not None:
        for part in parts:
            yield from carried(whole, [part], limit, halves, refused)
    else:
        refused(operations[0])


class BatchReader:
    """Decodes batches of `kinds`, Structs with a tag and a list of operations."""

    def __init__(self, kinds: Iterable[type[msgspec.Struct]]) -> None:
        known = list(kinds)
        self._tags = {kind.__struct_config__.tag for kind in known}
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(
            functools.reduce(operator.or_, known)
        ).decode

    def read(self, payload: bytes) -> msgspec.Struct | None:
        """A batch of one of the kinds, None when nothing of it is known here. Raises MsgspecError."""
        try:
            batch: msgspec.Struct = self._decode(payload)
        except msgspec.ValidationError:
            return self._known_of(payload)
        return batch

    def _known_of(self, payload: bytes) -> msgspec.Struct | None:
        """What a peer of another version says beyond our words costs only itself."""
        tag, operations = _loose(payload)
        if tag not in self._tags:
            log.warning("batch not meant for this process", direction=tag)
            return None
        whole = self._decode(encode((tag, [])))
        for operation in operations:
            try:
                whole.operations += self._decode(encode((tag, [operation]))).operations
            except msgspec.ValidationError as error:
                log.warning("operation not known", error=str(error))
        known: msgspec.Struct = whole
        return known

"""Training of dictionaries from samples, in the shape that bodies have on the wire."""

from __future__ import annotations

import json
import random
import statistics
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zstandard

from frame.constants import GROUP_PREFIX, SINGLE_PREFIX

SMALLEST = 1024
"""Bytes of a dictionary."""
FEWEST = 100
"""Samples to train from."""
MOST = 200_000
"""Samples that are read; what follows is left."""
HELD_OUT = 5
"""Each so many-th sample is not trained with, but measured by."""
_PRIVATE = 0x8000
"""zstd's registry of ids ends below."""
_TEXT = 0


class TooFewSamples(Exception):
    """Or too little in them."""


def samples_of(files: Sequence[Path]) -> list[bytes]:
    """Bodies of MSG frames: each line of the files as a message between people who do not exist. ValueError
    names the line that is no JSON text or object."""
    found: list[bytes] = []
    people = random.Random(0)
    for file in files:
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                said = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{file}, line {number}: {error}") from None
            if not isinstance(said, str | dict):
                raise ValueError(f"{file}, line {number}: a sample is a text or a body, an object")
            found.append(_message(said, len(found), people))
            if len(found) == MOST:
                return found
    return found


def _message(said: object, n: int, people: random.Random) -> bytes:
    """As im_service encodes one (docs/PROTOCOL.md, What the server sends)."""
    one, two = sorted(f"{people.getrandbits(32):08x}" for _ in range(2))
    body = {"text": said} if isinstance(said, str) else said
    group = n % 2
    conversation = f"{GROUP_PREFIX}{one}" if group else f"{SINGLE_PREFIX}{one}:{two}"
    moment = 1_700_000_000_000 + people.getrandbits(36)
    client_id = f"{moment:x}-{people.getrandbits(32):08x}"
    seq = 1 + people.getrandbits(12)
    message = [conversation, seq, moment << 20, moment, one, client_id, _TEXT, body, None, "", 0]
    return msgspec.msgpack.encode(message)


def train(samples: Sequence[bytes], size: int, id: int = 0) -> bytes:
    """A dictionary of at most `size` bytes; `id` 0: one of its content. Raises TooFewSamples."""
    used: list[bytes | bytearray | memoryview] = [sample for n, sample in enumerate(samples) if n % HELD_OUT]
    if len(samples) < FEWEST:
        raise TooFewSamples(f"{len(samples)} samples are too few, {FEWEST} are the least")
    if not id:
        id = _PRIVATE | zlib.crc32(b"".join(used) + size.to_bytes(4)) & (_PRIVATE - 1)
    try:
        return zstandard.train_dictionary(size, used, dict_id=id).as_bytes()
    except zstandard.ZstdError as error:
        raise TooFewSamples(f"these samples make no dictionary of {size} bytes: {error}") from None


def measured(dictionary: bytes, samples: Sequence[bytes]) -> dict[str, object]:
    """Its id and size, and medians of bytes over the samples that it was not trained with."""
    trained = zstandard.ZstdCompressionDict(dictionary)
    by, without = zstandard.ZstdCompressor(3, dict_data=trained), zstandard.ZstdCompressor(3)
    others = [sample for n, sample in enumerate(samples) if n % HELD_OUT == 0]
    return {
        "id": trained.dict_id(),
        "bytes": len(dictionary),
        "samples": len(samples),
        "median_raw": statistics.median(len(sample) for sample in others),
        "median_without": statistics.median(
            min(len(sample), len(without.compress(sample))) for sample in others
        ),
        "median_by_it": statistics.median(min(len(sample), len(by.compress(sample))) for sample in others),
    }

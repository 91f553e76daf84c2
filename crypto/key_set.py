"""The signed key set: which X25519 server keys a client may use, under the Ed25519 root it has pinned.

    "QWKS" | u8 ver=1 | u32 issued_at | u8 n | n x (u16 key_id | 32 public | u32 not_before | u32 not_after)
           | 64 Ed25519 signature over all bytes before it

Integers are big-endian, times are Unix seconds (docs/PROTOCOL.md).
A key holds while not_before <= t < not_after.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from crypto.base64url import b64url_decode, b64url_encode
from crypto.errors import KeySetError

MAGIC = b"QWKS"
VERSION = 1
ROOT_PREFIX = "qwroot1."
SIGNATURE_SIZE = 64
MAX_KEYS = 255
_HEAD = struct.Struct(">4sBIB")
_ENTRY = struct.Struct(">H32sII")


class KeyEntry(NamedTuple):
    """One server key as a client sees it."""

    key_id: int
    public: bytes
    not_before: int
    not_after: int


class KeySet(NamedTuple):
    """A verified key set."""

    issued_at: int
    keys: tuple[KeyEntry, ...]

    def best(self, now: int) -> KeyEntry | None:
        """The youngest key that holds at `now`."""
        holding = [key for key in self.keys if key.not_before <= now < key.not_after]
        return max(holding, key=lambda key: (key.not_before, key.not_after), default=None)


def build(sign: Callable[[bytes], bytes], issued_at: int, keys: Iterable[KeyEntry]) -> bytes:
    """The bytes of a key set; `sign` gives the root's 64-byte signature. KeySetError for bad fields."""
    entries = tuple(keys)
    if not 1 <= len(entries) <= MAX_KEYS or len({key.key_id for key in entries}) != len(entries):
        raise KeySetError("a key set holds 1 to 255 keys with different ids")
    try:
        head = _HEAD.pack(MAGIC, VERSION, issued_at, len(entries))
        body = head + b"".join(_ENTRY.pack(*key) for key in entries)
    except struct.error as error:
        raise KeySetError(f"a field is out of range: {error}") from error
    if any(len(key.public) != 32 or key.not_before >= key.not_after for key in entries):
        raise KeySetError("a key is not 32 bytes or never holds")
    return body + sign(body)


def verify(data: bytes, root_public: bytes) -> KeySet:
    """The key set in `data`, if the root with this public key (32 bytes) signed exactly these bytes.

    The signature is judged before any field is. Raises KeySetError.
    """
    if len(data) < _HEAD.size + SIGNATURE_SIZE:
        raise KeySetError("too short for a key set")
    body, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
    try:
        VerifyKey(root_public).verify(body, signature)
    except BadSignatureError as error:
        raise KeySetError("the key set is not signed by this root") from error
    magic, version, issued_at, count = _HEAD.unpack_from(body)
    if magic != MAGIC or version != VERSION:
        raise KeySetError("not a key set of a version we know")
    if count == 0 or len(body) != _HEAD.size + count * _ENTRY.size:
        raise KeySetError("the length does not fit the number of keys")
    keys = tuple(KeyEntry(*fields) for fields in _ENTRY.iter_unpack(body[_HEAD.size :]))
    if len({key.key_id for key in keys}) != count:
        raise KeySetError("a key id stands twice")
    return KeySet(issued_at, keys)


def root_text(root_public: bytes) -> str:
    """The root's public key as people copy it: `qwroot1.` and base64url without padding."""
    return ROOT_PREFIX + b64url_encode(root_public)


def parse_root(text: str) -> bytes:
    """The 32 bytes behind root_text. Raises KeySetError."""
    if not text.startswith(ROOT_PREFIX):
        raise KeySetError(f"a root key begins with {ROOT_PREFIX}")
    try:
        return b64url_decode(text[len(ROOT_PREFIX) :], 32)
    except ValueError as error:
        raise KeySetError(f"not a root key: {error}") from error

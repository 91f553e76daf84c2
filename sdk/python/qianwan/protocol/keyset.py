"""The signed set of server keys and the pinned root that vouches for it (docs/PROTOCOL.md, "Key set")."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import nacl.bindings
import nacl.exceptions

from qianwan.constants import KEY_SET_MAGIC, ROOT_PREFIX, VERSION
from qianwan.errors import KeySetError

MAGIC = KEY_SET_MAGIC.encode() + bytes((VERSION,))
ENTRY_SIZE = 2 + 32 + 4 + 4
HEAD_SIZE = len(MAGIC) + 4 + 1
SIGNATURE_SIZE = 64


class NoKeySet(KeySetError):
    """The bytes are no key set at all; one with a wrong signature is a KeySetError."""


class ServerKey(NamedTuple):
    """One X25519 static key of the service; times in Unix seconds."""

    key_id: int
    public: bytes
    not_before: int
    not_after: int


class KeySet(NamedTuple):
    issued_at: int
    keys: tuple[ServerKey, ...]

    def choose(self, now: float) -> ServerKey:
        """The youngest valid key; raises KeySetError when none is valid at `now` (Unix
        seconds).
        """
        valid = [key for key in self.keys if key.not_before <= now < key.not_after]
        if not valid:
            raise KeySetError("no server key of the key set is valid now; check this machine's clock")
        return max(valid, key=lambda key: (key.not_before, key.not_after))


def parse_root(text: str) -> bytes:
    """`qwroot1.<base64url>` -> the 32-byte Ed25519 public key."""
    if not text.startswith(ROOT_PREFIX):
        raise KeySetError(f"a root key is written {ROOT_PREFIX}<base64url>")
    body = text[len(ROOT_PREFIX) :]
    try:
        root = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise KeySetError("the root key is not base64url") from error
    if len(root) != 32:
        raise KeySetError("a root key has 32 bytes")
    return root


def decode_base64url(text: str) -> bytes:
    """Base64url without padding, as LBS writes key sets."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise KeySetError("the key set is not base64url") from error


def encode_base64url(data: bytes) -> str:
    """The other direction."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def verify(data: bytes, root: bytes) -> KeySet:
    """Check the signature, then the layout; raises KeySetError."""
    if len(data) < HEAD_SIZE + SIGNATURE_SIZE or data[: len(MAGIC)] != MAGIC:
        raise NoKeySet("not a key set")
    count = data[HEAD_SIZE - 1]
    if len(data) != HEAD_SIZE + count * ENTRY_SIZE + SIGNATURE_SIZE:
        raise NoKeySet("the key set has the wrong length")
    signed, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
    try:
        nacl.bindings.crypto_sign_open(signature + signed, root)
    except nacl.exceptions.BadSignatureError as error:
        raise KeySetError("the key set is not signed by the pinned root") from error
    keys = []
    for at in range(HEAD_SIZE, HEAD_SIZE + count * ENTRY_SIZE, ENTRY_SIZE):
        keys.append(
            ServerKey(
                int.from_bytes(data[at : at + 2], "big"),
                data[at + 2 : at + 34],
                int.from_bytes(data[at + 34 : at + 38], "big"),
                int.from_bytes(data[at + 38 : at + 42], "big"),
            )
        )
    return KeySet(int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "big"), tuple(keys))

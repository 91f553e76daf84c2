"""Secrets of others that lie in documents, wrapped: who reads the documents, or a copy of them, has none.

    version (1 byte) | nonce (24) | XChaCha20-Poly1305 of the text, bound to the name of the document

The key comes from outgoing.secret, where control and im processes do not share a data folder: not from
auth.keys_secret, by which whoever has it may be a gateway. Else it is a file in the data folder, and never in
a copy of the documents.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.utils import random as random_bytes

from control.keys.data_folder import KEY_FOLDER
from control.keys.errors import KeyFileError
from control.keys.files import locked, make_private_directory, read_bytes, write_bytes
from control.settings import Settings

VERSION = b"\x01"
NONCE_BYTES = 24
KEY_BYTES = 32
FILE = "wrapping.key"


class CannotUnwrap(Exception):
    """It was wrapped under another key, for another document, or is damaged."""


class NothingWraps(Exception):
    """Processes share no data folder, and there is no key that all who read the documents have."""

    def __init__(self) -> None:
        super().__init__(
            "set outgoing.secret, the same on every control and im process: it wraps secrets in etcd"
        )


class Wrapping:
    """Wraps under the first of these keys; what the others wrapped is opened still."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def wrap(self, name: str, text: str) -> str:
        """Raises NothingWraps."""
        if not self._keys:
            raise NothingWraps
        nonce = bytes(random_bytes(NONCE_BYTES))
        box = crypto_aead_xchacha20poly1305_ietf_encrypt(text.encode(), name.encode(), nonce, self._keys[0])
        return b64encode(VERSION + nonce + box).decode()

    def unwrap(self, name: str, wrapped: str) -> str:
        """Raises CannotUnwrap."""
        try:
            content = b64decode(wrapped, validate=True)
        except ValueError:
            raise CannotUnwrap("not wrapped by this program") from None
        nonce, box = content[1 : 1 + NONCE_BYTES], content[1 + NONCE_BYTES :]
        for key in self._keys if content[:1] == VERSION and len(nonce) == NONCE_BYTES else ():
            try:
                return crypto_aead_xchacha20poly1305_ietf_decrypt(box, name.encode(), nonce, key).decode()
            except (CryptoError, ValueError):
                continue
        raise CannotUnwrap("wrapped under another key: outgoing.secret, or the data folder's")


def wrapping_of(settings: Settings) -> Wrapping:
    """By the secret of the settings, else by a key of the data folder, made when it is first needed. Raises
    KeyFileError."""
    outgoing = settings.outgoing
    secrets = [text for text in (outgoing.secret.reveal(), outgoing.secret_before.reveal()) if text]
    if secrets or settings.auth.keys_secret:
        return Wrapping(
            [
                blake2b(text.encode(), digest_size=KEY_BYTES, person=b"qianwan wrapped").digest()
                for text in secrets
            ]
        )
    folder = settings.server.data_dir / KEY_FOLDER
    make_private_directory(folder)
    return Wrapping([_of_folder(folder)])


def _of_folder(folder: Path) -> bytes:
    path = folder / FILE
    with locked(folder):
        if not path.exists():
            write_bytes(path, bytes(random_bytes(KEY_BYTES)), replace=False)
        key = read_bytes(path, KEY_BYTES)
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"{path} is no key of {KEY_BYTES} bytes")
    return key

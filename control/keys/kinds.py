"""The four kinds of keys and the JSON objects they are kept as.

Times are Unix seconds; a key holds while not_before <= t < not_after. Python cannot wipe `bytes`: private
parts live as long as the objects here, which are few. The C core wipes its own copies.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from nacl.signing import SigningKey

from control.keys.errors import KeyFileError
from control.keys.files import read_private
from crypto import key_set
from crypto.base64url import b64url_decode, b64url_encode
from crypto.noise import public_key

KEY_ID_MAX = 0xFFFF
TICKET_ID_MAX = 0xFFFF_FFFF
TIME_MAX = 0xFFFF_FFFF  # times travel as u32


@lru_cache(maxsize=2)
def _signing_key(seed: bytes) -> SigningKey:
    """Made once: it costs as much as a signature."""
    return SigningKey(seed)


@dataclass(frozen=True, slots=True)
class RootKey:
    """The Ed25519 root."""

    seed: bytes = field(repr=False)
    public: bytes

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        return cls(seed, bytes(SigningKey(seed).verify_key))

    @property
    def text(self) -> str:
        """`qwroot1.` and base64url: what clients pin."""
        return key_set.root_text(self.public)

    def sign(self, data: bytes) -> bytes:
        """64-byte Ed25519 signature."""
        return _signing_key(self.seed).sign(data).signature

    def to_file(self) -> dict[str, Any]:
        return {"kind": "ed25519-root", "seed": b64url_encode(self.seed)}


@dataclass(frozen=True, slots=True)
class ServerKey:
    """An X25519 static key of the NK handshake."""

    key_id: int
    private: bytes = field(repr=False)
    public: bytes
    not_before: int
    not_after: int

    def to_file(self) -> dict[str, Any]:
        return {
            "kind": "x25519-server",
            "key_id": self.key_id,
            "private": b64url_encode(self.private),
            "not_before": self.not_before,
            "not_after": self.not_after,
        }

    @property
    def file_name(self) -> str:
        return f"server-{self.key_id:05d}.json"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """An Ed25519 key that signs tokens (JWT alg EdDSA)."""

    kid: str
    seed: bytes = field(repr=False)
    public: bytes
    not_before: int
    not_after: int

    @classmethod
    def from_seed(cls, seed: bytes, not_before: int, not_after: int) -> Self:
        public = bytes(SigningKey(seed).verify_key)
        return cls(thumbprint(public), seed, public, not_before, not_after)

    def jwk(self, *, private: bool) -> dict[str, str]:
        """The key as a JWK (RFC 8037), with `d` only when `private`."""
        secret = {"d": b64url_encode(self.seed)} if private else {}
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url_encode(self.public), "kid": self.kid, **secret}

    def to_file(self) -> dict[str, Any]:
        return {
            "kind": "ed25519-token",
            "seed": b64url_encode(self.seed),
            "not_before": self.not_before,
            "not_after": self.not_after,
        }

    @property
    def file_name(self) -> str:
        return f"token-{self.kid}.json"


@dataclass(frozen=True, slots=True)
class TicketKey:
    """A key that seals tickets, with which sessions are taken up again; every gateway opens them."""

    key_id: int
    secret: bytes = field(repr=False)
    not_before: int
    not_after: int

    def to_file(self) -> dict[str, Any]:
        return {
            "kind": "xchacha20-ticket",
            "key_id": self.key_id,
            "secret": b64url_encode(self.secret),
            "not_before": self.not_before,
            "not_after": self.not_after,
        }

    @property
    def file_name(self) -> str:
        return f"ticket-{self.key_id:010d}.json"


def thumbprint(public: bytes) -> str:
    """RFC 7638 thumbprint of an Ed25519 public key, base64url."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64url_encode(public)}"}}'
    return b64url_encode(hashlib.sha256(canonical.encode()).digest())


def _fields(path: Path, kind: str, secret: str) -> tuple[dict[str, Any], bytes]:
    """The object of a key file of this kind and its 32-byte secret."""
    value = read_private(path)
    try:
        if value["kind"] != kind:
            raise ValueError(f"the kind is {value['kind']!r}")
        return value, b64url_decode(value[secret], 32)
    except (KeyError, TypeError, ValueError) as error:
        raise KeyFileError(f"{path} is not of kind {kind}: {error!r}") from error


def _period(path: Path, value: dict[str, Any]) -> tuple[int, int]:
    start, end = value.get("not_before"), value.get("not_after")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= TIME_MAX:
        raise KeyFileError(f"{path}: not_before and not_after are no period of time")
    return start, end


def read_root(path: Path) -> RootKey:
    return RootKey.from_seed(_fields(path, "ed25519-root", "seed")[1])


def read_server(path: Path) -> ServerKey:
    value, private = _fields(path, "x25519-server", "private")
    key_id = value.get("key_id")
    if type(key_id) is not int or not 0 < key_id <= KEY_ID_MAX:
        raise KeyFileError(f"{path}: key_id is not within 1..65535")
    key = ServerKey(key_id, private, public_key(private), *_period(path, value))
    if key.file_name != path.name:
        raise KeyFileError(f"{path} holds the key with id {key_id}")
    return key


def read_ticket(path: Path) -> TicketKey:
    value, secret = _fields(path, "xchacha20-ticket", "secret")
    key_id = value.get("key_id")
    if type(key_id) is not int or not 0 < key_id <= TICKET_ID_MAX:
        raise KeyFileError(f"{path}: key_id is not within 1..{TICKET_ID_MAX}")
    key = TicketKey(key_id, secret, *_period(path, value))
    if key.file_name != path.name:
        raise KeyFileError(f"{path} holds the key with id {key_id}")
    return key


def read_token(path: Path) -> TokenKey:
    value, seed = _fields(path, "ed25519-token", "seed")
    key = TokenKey.from_seed(seed, *_period(path, value))
    if key.file_name != path.name:
        raise KeyFileError(f"{path} holds the key {key.kid}")
    return key

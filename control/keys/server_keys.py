"""The keys of a server and the folder they live in.

    root.json            Ed25519 root: signs the key set, is what clients pin
    server-<id>.json     X25519 static key of the handshake, one file per key id
    token-<kid>.json     Ed25519 key that signs tokens; kid is the RFC 7638 thumbprint

Times are Unix seconds and always arguments. A rotation writes the new key before it shortens the old ones,
so a crash in between leaves both valid for longer, never none. Processes that share a folder take turns on
its lock.

Python cannot wipe `bytes`: private parts live as long as the objects here, which are few and stay in the
control process. The C core wipes its own copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from nacl.signing import SigningKey
from nacl.utils import random as random_bytes

from control.keys.files import locked, make_private_directory, read_private, remove, write_private
from crypto import key_set
from crypto.base64url import b64url_decode, b64url_encode
from crypto.errors import KeyFileError
from crypto.noise import generate_keypair, public_key

DAY_S = 86_400
SERVER_KEY_LIFETIME_S = 62 * DAY_S  # a monthly rotation that fails once still leaves a valid key
TOKEN_KEY_LIFETIME_S = 62 * DAY_S
KEY_ID_MAX = 0xFFFF
TIME_MAX = 0xFFFF_FFFF  # times travel as u32


class Dated(Protocol):
    """A key with a time of validity: not_before <= t < not_after."""

    @property
    def not_before(self) -> int: ...
    @property
    def not_after(self) -> int: ...


K = TypeVar("K", bound=Dated)


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
        return SigningKey(self.seed).sign(data).signature

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


def thumbprint(public: bytes) -> str:
    """RFC 7638 thumbprint of an Ed25519 public key, base64url."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64url_encode(public)}"}}'
    return b64url_encode(hashlib.sha256(canonical.encode()).digest())


def holding(keys: Iterable[K], now: int) -> list[K]:
    """The keys that hold at `now`, youngest first."""
    valid = [key for key in keys if key.not_before <= now < key.not_after]
    return sorted(valid, key=lambda key: (key.not_before, key.not_after), reverse=True)


class ServerKeys:
    """All keys of a server, as they stand in its folder. Replaced, not changed: rotate returns a new one."""

    def __init__(
        self, folder: Path, root: RootKey, servers: Sequence[ServerKey], tokens: Sequence[TokenKey]
    ) -> None:
        self.folder = folder
        self.root = root
        self.servers = tuple(sorted(servers, key=lambda key: key.not_before))
        self.tokens = tuple(sorted(tokens, key=lambda key: key.not_before))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the folder. KeyFileError when a file is missing, malformed or open to others."""
        with locked(folder):
            return cls._read(folder)

    @classmethod
    def load_or_create(
        cls,
        folder: Path,
        now: int,
        *,
        server_lifetime: int = SERVER_KEY_LIFETIME_S,
        token_lifetime: int = TOKEN_KEY_LIFETIME_S,
    ) -> Self:
        """Read the folder and make what is missing: itself, the root, a key of each kind for `now`."""
        make_private_directory(folder)
        with locked(folder):
            if not (folder / "root.json").exists():
                root = RootKey.from_seed(_random_seed())
                write_private(folder / "root.json", root.to_file(), replace=False)
            keys = cls._read(folder)
            if not holding(keys.servers, now):
                keys._write_new(keys._new_server(now, server_lifetime))
            if not holding(keys.tokens, now):
                keys._write_new(_new_token(now, token_lifetime))
            return cls._read(folder)

    @classmethod
    def _read(cls, folder: Path) -> Self:
        return cls(
            folder,
            _read_root(folder / "root.json"),
            [_read_server(path) for path in sorted(folder.glob("server-*.json"))],
            [_read_token(path) for path in sorted(folder.glob("token-*.json"))],
        )

    def current(self, now: int) -> ServerKey:
        """The youngest server key that holds. KeyFileError when none does."""
        return _first(holding(self.servers, now), "server")

    def current_token(self, now: int) -> TokenKey:
        """The token key to sign with. KeyFileError when none holds."""
        return _first(holding(self.tokens, now), "token")

    def usable(self, now: int) -> list[tuple[int, bytes, bytes]]:
        """(key_id, private, public) of every server key not yet over: what a gateway accepts."""
        return [(key.key_id, key.private, key.public) for key in self.servers if now < key.not_after]

    def verifying(self, now: int) -> list[TokenKey]:
        """Token keys whose tokens are still believed."""
        return [key for key in self.tokens if now < key.not_after]

    def key_set(self, now: int) -> bytes:
        """The signed key set of every server key not yet over (crypto.key_set)."""
        entries = [
            key_set.KeyEntry(key.key_id, key.public, key.not_before, key.not_after)
            for key in self.servers
            if now < key.not_after
        ]
        return key_set.build(self.root.sign, now, entries)

    def rotate(self, now: int, overlap: int, *, lifetime: int = SERVER_KEY_LIFETIME_S) -> Self:
        """A new server key from `now` on.

        The others end `overlap` seconds later at the latest; those already over are removed.
        """
        with locked(self.folder):
            keys = self._read(self.folder)
            keys._write_new(keys._new_server(now, lifetime))
            keys._end_others(keys.servers, now, overlap)
            return self._read(self.folder)

    def rotate_tokens(self, now: int, overlap: int, *, lifetime: int = TOKEN_KEY_LIFETIME_S) -> Self:
        """The same for token keys; `overlap` should be the longest life of a token."""
        with locked(self.folder):
            keys = self._read(self.folder)
            keys._write_new(_new_token(now, lifetime))
            keys._end_others(keys.tokens, now, overlap)
            return self._read(self.folder)

    def _write_new(self, key: ServerKey | TokenKey) -> None:
        write_private(self.folder / key.file_name, key.to_file(), replace=False)

    def _end_others(self, keys: Sequence[ServerKey] | Sequence[TokenKey], now: int, overlap: int) -> None:
        for key in keys:
            path = self.folder / key.file_name
            if key.not_after <= now or overlap <= 0:
                remove(path)
            elif key.not_after > now + overlap:
                # A key that was to begin later never begins.
                begin = min(key.not_before, now)
                write_private(
                    path, replace(key, not_before=begin, not_after=now + overlap).to_file(), replace=True
                )

    def _new_server(self, now: int, lifetime: int) -> ServerKey:
        taken = {key.key_id for key in self.servers}
        newest = self.servers[-1].key_id if self.servers else 0
        for step in range(1, KEY_ID_MAX + 1):
            key_id = (newest + step - 1) % KEY_ID_MAX + 1  # 1..65535; 0 is never given
            if key_id not in taken:
                private, public = generate_keypair()
                return ServerKey(key_id, private, public, now, _end(now, lifetime))
        raise KeyFileError("every key id is taken")


def _random_seed() -> bytes:
    return bytes(random_bytes(32))


def _new_token(now: int, lifetime: int) -> TokenKey:
    return TokenKey.from_seed(_random_seed(), now, _end(now, lifetime))


def _end(now: int, lifetime: int) -> int:
    if lifetime <= 0 or now + lifetime > TIME_MAX:
        raise ValueError("a key must hold for a positive time, before 2106")
    return now + lifetime


def _first(keys: list[K], kind: str) -> K:
    if not keys:
        raise KeyFileError(f"no {kind} key holds now: rotate the keys")
    return keys[0]


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


def _read_root(path: Path) -> RootKey:
    return RootKey.from_seed(_fields(path, "ed25519-root", "seed")[1])


def _read_server(path: Path) -> ServerKey:
    value, private = _fields(path, "x25519-server", "private")
    key_id = value.get("key_id")
    if type(key_id) is not int or not 0 < key_id <= KEY_ID_MAX:
        raise KeyFileError(f"{path}: key_id is not within 1..65535")
    key = ServerKey(key_id, private, public_key(private), *_period(path, value))
    if key.file_name != path.name:
        raise KeyFileError(f"{path} holds the key with id {key_id}")
    return key


def _read_token(path: Path) -> TokenKey:
    value, seed = _fields(path, "ed25519-token", "seed")
    key = TokenKey.from_seed(seed, *_period(path, value))
    if key.file_name != path.name:
        raise KeyFileError(f"{path} holds the key {key.kid}")
    return key

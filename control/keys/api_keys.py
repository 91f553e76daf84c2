"""API keys of app servers and operators: `qwk_<id>_<secret>`, kept as SHA-256 of the 256-bit random secret.

A fast hash is right here because the secret is random over 256 bits: there is nothing to guess. Processes of
one machine share the file and change it in turns; a running server sees a change of `qianwan api-key` within
a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from control.keys.errors import ApiKeyError, KeyFileError
from control.keys.files import locked, make_private_directory, read_bytes, write_bytes
from control.logs import get_logger
from control.settings.values import API_KEY

SCOPES = ("tokens", "messages", "admin", "read")
"""What a key may do for an application, over the API for app servers."""
VIEWER, OPERATOR, POLICY_ADMIN, SECURITY_ADMIN = "viewer", "operator", "policy-admin", "security-admin"
ROLES = (VIEWER, OPERATOR, POLICY_ADMIN, SECURITY_ADMIN)
"""What a key may do to the cluster, over the admin API: the first is in each of the others."""
_STAT_PERIOD_S = 1.0
_MISSING = (0, 0)
_FILE_BYTES = 16 << 20  # some 80,000 keys

log = get_logger("keys")


class ApiKey(msgspec.Struct, frozen=True):
    """What is stored of a key. Times are unix seconds; `expires_at` 0 means never."""

    id: str
    name: str
    sha256: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int = 0
    revoked_at: int = 0
    roles: tuple[str, ...] = ()
    changes: int = 0
    """how often it was said anew what it may: of two copies the one with fewer is the older"""

    def over(self, now: float) -> str:
        """Why it opens nothing any more; "" while it does."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= now else ""

    def usable(self, now: float) -> bool:
        return not self.over(now)

    def proves(self, secret: str) -> bool:
        return hmac.compare_digest(_hash(secret), bytes.fromhex(self.sha256))

    def holds(self, role: str) -> bool:
        """Whoever may do anything to the cluster may look at it."""
        return role in self.roles or (role == VIEWER and bool(self.roles))


_NOBODY = ApiKey("", "", bytes(32).hex(), (), 0)
"""In the place of an unknown key: nothing has this hash."""


class _File(msgspec.Struct):
    """`first`: id of the key that a start made."""

    version: int = 1
    keys: list[ApiKey] = []
    first: str = ""


@dataclass
class ApiKeys:
    """The keys of one data folder. Methods raise KeyFileError where the file or its folder is not usable."""

    path: Path
    bootstrap: str = ""
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, ApiKey] = field(default_factory=dict, init=False)
    _first: str = field(default="", init=False)
    _seen: tuple[int, int] = field(default=(-1, -1), init=False)
    _checked_at: float = field(default=-_STAT_PERIOD_S, init=False)

    def __post_init__(self) -> None:
        if self.bootstrap and not API_KEY.fullmatch(self.bootstrap):
            raise ApiKeyError(
                "auth.bootstrap_api_key does not look like qwk_<12 hex>_<43 base64url characters>"
            )
        self._read()

    def create(
        self, name: str, scopes: tuple[str, ...] = SCOPES, ttl_s: int = 0, roles: tuple[str, ...] = ()
    ) -> tuple[ApiKey, str]:
        """Make a key. Returns (what is stored, the text shown once). Raises ApiKeyError for an unknown
        scope or role, and without a name.
        """
        if not name.strip():
            raise ApiKeyError("say what the key is for: lists and the audit log name it")
        for kind, given, known in (("scope", scopes, SCOPES), ("role", roles, ROLES)):
            if unknown := set(given) - set(known):
                raise ApiKeyError(
                    f"unknown {kind} {', '.join(sorted(unknown))}; there are {', '.join(known)}"
                )
        make_private_directory(self.path.parent)
        with self._changed():
            return self._add(name, scopes, ttl_s, roles)

    def create_first(self, name: str, keep: Callable[[str], None] = lambda text: None) -> str:
        """Make a key with all scopes and roles if there is none, however many processes start at once. Its
        text, or "" when there was one. `keep` is given the text before its hash is written: whatever ends the
        process, no key stays behind that nobody has.
        """
        make_private_directory(self.path.parent)
        with self._changed():
            if self._keys or self.bootstrap:
                return ""
            key, text = self._add(name, SCOPES, 0, ROLES)
            self._first = key.id
            keep(text)
            return text

    def first(self) -> ApiKey | None:
        """The key that a start made, as the file has it now."""
        self._read_if_changed()
        return self._keys.get(self._first)

    def revoked(self, key_id: str) -> ApiKey | None:
        """A key that the file, as it was last read, says is revoked."""
        key = self._keys.get(key_id)
        return key if key is not None and key.revoked_at else None

    def keep(self, key: ApiKey) -> None:
        """As it is elsewhere, in place of what is kept of it here. A key revoked meanwhile stays so."""
        with self._changed():
            if key.id in self._keys and not self._keys[key.id].revoked_at:
                self._keys[key.id] = key

    def list(self) -> list[ApiKey]:
        self._read()
        return sorted(self._keys.values(), key=lambda key: key.created_at)

    def revoke(self, key_id: str) -> ApiKey:
        """Mark a key as revoked. Raises ApiKeyError when there is none with this id."""
        with self._changed():
            if key_id not in self._keys:
                raise ApiKeyError(f"there is no API key with id {key_id}")
            key = msgspec.structs.replace(self._keys[key_id], revoked_at=int(time.time()))
            self._keys[key_id] = key
            return key

    def check(self, text: str, now: float) -> ApiKey | None:
        """The key that `text` proves, or None: none, or one that is over."""
        key = self.proven(text)
        return key if key is not None and key.usable(now) else None

    def proven(self, text: str) -> ApiKey | None:
        """The key that `text` proves, also one that is over. Takes the same time for an unknown id as for a
        wrong secret.
        """
        key_id, secret = parts_of(text)
        if self.bootstrap and hmac.compare_digest(_hash(text), _hash(self.bootstrap)):
            return ApiKey(key_id, "bootstrap", "", SCOPES, 0, roles=ROLES)
        elapsed = self.clock()  # the wall clock may be set back
        if key_id not in self._keys or elapsed - self._checked_at >= _STAT_PERIOD_S:
            self._checked_at = elapsed
            self._read_if_changed()
        key = self._keys.get(key_id)
        return key if (key or _NOBODY).proves(secret) and key else None

    def _add(
        self, name: str, scopes: tuple[str, ...], ttl_s: int, roles: tuple[str, ...]
    ) -> tuple[ApiKey, str]:
        key, text = new_key(name, scopes, roles, ttl_s, int(time.time()))
        self._keys[key.id] = key
        return key, text

    def _read_if_changed(self) -> None:
        """A file that cannot be read changes nothing in a running server; its next version may."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        if stamp == _MISSING:
            self._seen = stamp
            log.error("the API keys are gone; those known go on until the next start", path=str(self.path))
        else:
            try:
                self._read()
            except (ApiKeyError, KeyFileError) as error:
                log.error("the API keys cannot be read; those known before go on", reason=str(error))

    @contextlib.contextmanager
    def _changed(self) -> Iterator[None]:
        """Change `_keys` alone: read under the folder's lock, write if the body did not raise."""
        with locked(self.path.parent):
            self._read()
            before = dict(self._keys)
            yield
            if self._keys != before:
                self._write()

    def _stamp(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return _MISSING
        return (status.st_mtime_ns, status.st_ino)

    def _read(self) -> None:
        self._seen = self._stamp()
        if self._seen == _MISSING:
            self._keys, self._first = {}, ""
            return
        try:
            file = msgspec.json.decode(read_bytes(self.path, _FILE_BYTES), type=_File)
            self._keys, self._first = {key.id: key for key in file.keys}, file.first
        except ValueError as error:  # msgspec's are such
            raise ApiKeyError(f"{self.path} is damaged: {error}") from None

    def _write(self) -> None:
        file = _File(keys=list(self._keys.values()), first=self._first)
        content = msgspec.json.format(msgspec.json.encode(file), indent=1)
        write_bytes(self.path, content, replace=True)
        self._seen = self._stamp()


def generate_key() -> str:
    return f"qwk_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def new_key(
    name: str, scopes: Sequence[str], roles: Sequence[str], ttl_s: int, now: int
) -> tuple[ApiKey, str]:
    """(what is to be stored, the text shown once). `ttl_s` 0: until it is revoked."""
    text = generate_key()
    key_id, secret = split_key(text)
    ends = now + ttl_s if ttl_s else 0
    return ApiKey(key_id, name, _hash(secret).hex(), tuple(scopes), now, ends, roles=tuple(roles)), text


def parts_of(text: str) -> tuple[str, str]:
    """(id, secret) of a key's text; two empty ones where it is none."""
    match = API_KEY.fullmatch(text)
    return (match[1], match[2]) if match is not None else ("", "")


def split_key(text: str) -> tuple[str, str]:
    """(id, secret) of a key's text. Raises ApiKeyError."""
    found = parts_of(text)
    if not found[0]:
        raise ApiKeyError("an API key looks like qwk_<12 hex>_<43 base64url characters>")
    return found


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

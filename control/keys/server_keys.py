"""The keys of a server and the folder they live in.

    root.json            Ed25519 root: signs the key set, is what clients pin
    server-<id>.json     X25519 static key of the handshake, one file per key id
    token-<kid>.json     Ed25519 key that signs tokens; kid is the RFC 7638 thumbprint
    ticket-<id>.json     XChaCha20 key that seals tickets, for two days; a new one each day

Times are Unix seconds and always arguments. A new key begins a day before it is made, for clients whose
clocks are slow. A rotation writes the new key before it shortens the old ones, so a crash in between leaves
both valid for longer, never none. Processes that share a folder take turns on its lock
(docs/decisions/0015-keys-rotate-by-themselves.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Self, TypeVar

from nacl.utils import random as random_bytes

from control.keys.errors import KeyFileError
from control.keys.files import locked, make_private_directory, remove, write_private
from control.keys.kinds import (
    KEY_ID_MAX,
    TICKET_ID_MAX,
    TIME_MAX,
    RootKey,
    ServerKey,
    TicketKey,
    TokenKey,
    read_root,
    read_server,
    read_ticket,
    read_token,
)
from crypto import key_set
from crypto.noise import generate_keypair

DAY_S = 86_400
BACKDATE_S = DAY_S
SERVER_KEY_LIFETIME_S = 62 * DAY_S  # a monthly rotation that fails once still leaves a valid key
TOKEN_KEY_LIFETIME_S = 62 * DAY_S
SERVER_KEYS_MAX = 8  # as many as the gateway core holds
TICKET_PERIOD_S = DAY_S
TICKET_KEY_LIFETIME_S = 2 * DAY_S  # so that the last two are read
TICKET_KEYS_MAX = 4  # as many as the gateway core holds
TOKEN_KEYS_MAX = 64  # more than a year of monthly keys, for tokens that live as long
ROOT_FILE = "root.json"


class Dated(Protocol):
    """A key with a time of validity: not_before <= t < not_after."""

    @property
    def not_before(self) -> int: ...
    @property
    def not_after(self) -> int: ...


K = TypeVar("K", bound=Dated)
AnyKey = ServerKey | TicketKey | TokenKey


def holding(keys: Iterable[K], now: int) -> list[K]:
    """The keys that hold at `now`, youngest first."""
    valid = [key for key in keys if key.not_before <= now < key.not_after]
    return sorted(valid, key=lambda key: (key.not_before, key.not_after), reverse=True)


def preferred(keys: Iterable[K], now: int) -> list[K]:
    """Every key, those that can best be done without last: those that hold, then those to come, then those
    that are over; each youngest first.
    """

    def rank(key: K) -> tuple[int, int, int]:
        return (
            0 if now >= key.not_after else 1 if now < key.not_before else 2,
            key.not_before,
            key.not_after,
        )

    return sorted(keys, key=rank, reverse=True)


class ServerKeys:
    """All keys of a server, as they stand in its folder. Replaced, not changed: rotate returns a new one."""

    def __init__(
        self,
        folder: Path,
        root: RootKey,
        servers: Sequence[ServerKey],
        tokens: Sequence[TokenKey],
        tickets: Sequence[TicketKey] = (),
    ) -> None:
        self.folder = folder
        self.root = root
        self.servers = tuple(sorted(servers, key=lambda key: key.not_before))
        self.tokens = tuple(sorted(tokens, key=lambda key: key.not_before))
        self.tickets = tuple(sorted(tickets, key=lambda key: key.not_before))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the folder. KeyFileError when a file is missing, malformed or open to others."""
        if not folder.is_dir():
            raise KeyFileError(f"there is no key folder {folder}: the first `qianwan serve` makes it")
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
        """Read the folder and make what is missing: itself, the root, a key of each kind for `now`.

        KeyFileError when the root alone is missing.
        """
        make_private_directory(folder)
        with locked(folder):
            if not (folder / ROOT_FILE).exists():
                refuse_lost_root(folder)
                _write_root(folder)
            keys = cls._read(folder)
            if not holding(keys.servers, now):
                keys._write_new(keys._new_server(now, server_lifetime))
            if not holding(keys.tokens, now):
                keys._write_new(_new_token(now, token_lifetime))
            if not holding(keys.tickets, now):
                keys._write_new(_new_ticket(now))
            return cls._read(folder)

    @classmethod
    def new_root(cls, folder: Path) -> RootKey:
        """Make a root where there is none. KeyFileError when there is one: clients pin it."""
        make_private_directory(folder)
        with locked(folder):
            return _write_root(folder)

    @classmethod
    def _read(cls, folder: Path) -> Self:
        return cls(
            folder,
            read_root(folder / ROOT_FILE),
            [read_server(path) for path in sorted(folder.glob("server-*.json"))],
            [read_token(path) for path in sorted(folder.glob("token-*.json"))],
            [read_ticket(path) for path in sorted(folder.glob("ticket-*.json"))],
        )

    def current(self, now: int) -> ServerKey:
        """The youngest server key that holds. KeyFileError when none does."""
        return _first(holding(self.servers, now), "server")

    def current_token(self, now: int) -> TokenKey:
        """The token key to sign with. KeyFileError when none holds."""
        return _first(holding(self.tokens, now), "token")

    def accepted(self, now: int) -> list[ServerKey]:
        """The server keys a gateway takes, at most SERVER_KEYS_MAX, oldest first: those not yet over. The
        youngest when all are, so that a gateway always has one: clients judge its time by themselves.
        """
        ranked = preferred(self.servers, now)
        found = [key for key in ranked if now < key.not_after][:SERVER_KEYS_MAX] or ranked[:1]
        return sorted(found, key=lambda key: key.not_before)

    def usable(self, now: int) -> list[tuple[int, bytes, bytes]]:
        """(key_id, private, public) of the accepted keys, as the gateway core wants them."""
        return [(key.key_id, key.private, key.public) for key in self.accepted(now)]

    def verifying(self, now: int) -> list[TokenKey]:
        """Token keys whose tokens are still believed."""
        return [key for key in self.tokens if now < key.not_after]

    def opening(self, now: int) -> list[TicketKey]:
        """Ticket keys whose tickets are still taken, youngest first: also one that begins a little later,
        of a process whose clock is ahead."""
        return preferred((key for key in self.tickets if now < key.not_after), now)[:TICKET_KEYS_MAX]

    def key_set(self, now: int, keys: Sequence[ServerKey] | None = None) -> bytes:
        """The signed key set of these, else of the accepted keys (crypto.key_set)."""
        entries = [
            key_set.KeyEntry(key.key_id, key.public, key.not_before, key.not_after)
            for key in (self.accepted(now) if keys is None else keys)
        ]
        return key_set.build(self.root.sign, now, entries)

    def due(self, now: int, period_s: int) -> list[str]:
        """The kinds that hold no key younger than `period_s`, 0: of any age; "ticket": than a day."""
        kinds: tuple[tuple[str, Sequence[Dated], int], ...] = (
            ("server", holding(self.servers, now), period_s + BACKDATE_S),
            ("token", holding(self.tokens, now), period_s + BACKDATE_S),
            ("ticket", holding(self.tickets, now), TICKET_PERIOD_S),
        )
        asked = kinds if period_s else kinds[2:]
        return [kind for kind, held, most in asked if not held or now - held[0].not_before >= most]

    def rotate_due(
        self,
        now: int,
        period_s: int,
        *,
        token_lifetime: int = TOKEN_KEY_LIFETIME_S,
        made: Callable[[str], None] = lambda name: None,
    ) -> Self:
        """A new key of each kind that is due, whose file is told to `made`. The others end when they were to
        end: a clock that is wrong for a while can only add keys.
        """
        with locked(self.folder):
            keys = self._read(self.folder)
            due = keys.due(now, period_s)
            if "server" in due:
                keys._write_new(server := keys._new_server(now, SERVER_KEY_LIFETIME_S))
                made(server.file_name)
            if "token" in due:
                keys._write_new(token := _new_token(now, token_lifetime))
                made(token.file_name)
            if "ticket" in due:
                keys._write_new(ticket := _new_ticket(now))
                made(ticket.file_name)
            return self._trimmed(now)

    def rotate(self, now: int, overlap: int, *, lifetime: int = SERVER_KEY_LIFETIME_S) -> Self:
        """A new server key. The others end `overlap` seconds from now at the latest.

        Those already over are removed, and the oldest of more than SERVER_KEYS_MAX.
        """
        with locked(self.folder):
            keys = self._read(self.folder)
            new = keys._new_server(now, lifetime)
            keys._write_new(new)
            keys._end_others(keys.servers, new, now, overlap)
            return self._trimmed(now)

    def rotate_tokens(self, now: int, overlap: int, *, lifetime: int = TOKEN_KEY_LIFETIME_S) -> Self:
        """The same for token keys; `overlap` should be the longest life of a token."""
        with locked(self.folder):
            keys = self._read(self.folder)
            new = _new_token(now, lifetime)
            keys._write_new(new)
            keys._end_others(keys.tokens, new, now, overlap)
            return self._trimmed(now)

    def rotate_tickets(self, now: int, overlap: int) -> Self:
        """The same for ticket keys: with `overlap` 0 no ticket that was given is taken any more."""
        with locked(self.folder):
            keys = self._read(self.folder)
            new = _new_ticket(now)
            keys._write_new(new)
            keys._end_others(keys.tickets, new, now, overlap)
            return self._trimmed(now)

    def _trimmed(self, now: int) -> Self:
        keys = self._read(self.folder)
        surplus: list[AnyKey] = [
            *preferred(keys.servers, now)[SERVER_KEYS_MAX:],
            *preferred(keys.tokens, now)[TOKEN_KEYS_MAX:],
            *preferred(keys.tickets, now)[TICKET_KEYS_MAX:],
        ]
        for key in surplus:
            remove(self.folder / key.file_name)
        return self._read(self.folder) if surplus else keys

    def _write_new(self, key: AnyKey) -> None:
        write_private(self.folder / key.file_name, key.to_file(), replace=False)

    def _end_others(
        self,
        keys: Sequence[AnyKey],
        new: AnyKey,
        now: int,
        overlap: int,
    ) -> None:
        younger: AnyKey = new
        for key in reversed(keys):
            path = self.folder / key.file_name
            if key.not_after <= now or overlap <= 0:
                remove(path)
                continue
            # The new key is to be the youngest, also beside one that was to come or was made in this second;
            # the others keep their order.
            begin = min(key.not_before, max(0, younger.not_before - 1))
            younger = ended = replace(key, not_before=begin, not_after=min(key.not_after, now + overlap))
            if ended != key:
                write_private(path, ended.to_file(), replace=True)

    def _new_server(self, now: int, lifetime: int) -> ServerKey:
        taken = {key.key_id for key in self.servers}
        newest = self.servers[-1].key_id if self.servers else 0
        for step in range(1, KEY_ID_MAX + 1):
            key_id = (newest + step - 1) % KEY_ID_MAX + 1  # 1..65535; 0 is never given
            if key_id not in taken:
                private, public = generate_keypair()
                return ServerKey(key_id, private, public, _begin(now), _end(now, lifetime))
        raise KeyFileError("every key id is taken")


def refuse_lost_root(folder: Path) -> None:
    """A root that is gone is a loss, and only where nothing was begun a new one is none: KeyFileError when
    other keys are there. What was begun elsewhere is looked at before (process/first_root.py).
    """
    others = [*sorted(folder.glob("server-*.json")), *sorted(folder.glob("token-*.json"))]
    if others:
        raise KeyFileError(lost_root(folder, f"{others[0]} is there"))


def lost_root(folder: Path, but: str) -> str:
    return (
        f"{folder / ROOT_FILE}, the key that clients pin, is missing, but {but}. Restore"
        " it from a backup, or make another with `qianwan keys new-root` and give that to every client"
    )


def _write_root(folder: Path) -> RootKey:
    root = RootKey.from_seed(_random_seed())
    write_private(folder / ROOT_FILE, root.to_file(), replace=False)
    return root


def _random_seed() -> bytes:
    return bytes(random_bytes(32))


def _new_token(now: int, lifetime: int) -> TokenKey:
    return TokenKey.from_seed(_random_seed(), _begin(now), _end(now, lifetime))


def _new_ticket(now: int) -> TicketKey:
    """Ids are random: keys that two processes make at once are two."""
    key_id = 1 + int.from_bytes(random_bytes(8)) % TICKET_ID_MAX
    return TicketKey(key_id, _random_seed(), now, _end(now, TICKET_KEY_LIFETIME_S))


def _begin(now: int) -> int:
    return max(0, now - BACKDATE_S)


def _end(now: int, lifetime: int) -> int:
    if lifetime <= 0 or now + lifetime > TIME_MAX:
        raise ValueError("a key must hold for a positive time, before 2106")
    return now + lifetime


def _first(keys: list[K], kind: str) -> K:
    if not keys:
        raise KeyFileError(f"no {kind} key holds now: rotate the keys")
    return keys[0]

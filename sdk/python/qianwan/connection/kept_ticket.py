"""The newest ticket on disk, so that a program that is started again logs in without asking for a token.

The file is a SHA-256 and a msgpack record behind it, readable by its owner alone. It is good for one user on
one device, at the servers that it came from, until its ticket is over. What is anything else, damaged, or
open to others is as if it were not there, and is replaced by the next ticket.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from qianwan import constants as c
from qianwan.protocol.tickets import Ticket

log = logging.getLogger("qianwan")
FILE_MAX = 4096
_encode = msgspec.msgpack.Encoder().encode


class Whose(NamedTuple):
    """Whom a ticket is of, and where it is good. `servers`: the pinned root, or the LBS that tell it. `user`
    "": not known before a token is asked for."""

    user: str
    device: str
    platform: int
    servers: str


class Kept(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    user: str
    device: str
    platform: int
    servers: str
    psk: bytes
    ticket: bytes
    lifetime_s: int
    came_at: float
    """seconds since 1970"""


_decode = msgspec.msgpack.Decoder(Kept).decode


class TicketFile:
    """One file; one program at a time. `wall`: seconds since 1970."""

    def __init__(self, path: str | os.PathLike[str], wall: Callable[[], float]) -> None:
        self._path = Path(path)
        self._wall = wall
        self._failing = False

    def load(self, whose: Whose, now: float) -> Ticket | None:
        """The ticket that is kept, by a clock that says `now`."""
        try:
            kept = _read(self._path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            log.warning("%s: no ticket is read, a token is asked for: %s", self._path, error)
            return None
        age = self._wall() - kept.came_at
        if (kept.user, kept.device, kept.platform, kept.servers) != whose or not 0 <= age < kept.lifetime_s:
            return None
        return Ticket(kept.psk, kept.ticket, kept.lifetime_s, now - age)

    def keep(self, whose: Whose, ticket: Ticket, now: float) -> None:
        """Instead of the one before. What hinders it is told once: then the next start asks for a token."""
        came_at = self._wall() - (now - ticket.came)
        data = _encode(Kept(*whose, ticket.psk, ticket.ticket, ticket.lifetime_s, came_at))
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "wb") as out:
                out.write(sha256(data).digest() + data)
            os.replace(fresh, self._path)
        except OSError as error:
            if not self._failing:
                log.warning("%s: the ticket cannot be kept: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()


def _read(path: Path) -> Kept:
    with path.open("rb") as file:
        if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ValueError("others may read or write it")
        data = file.read(FILE_MAX)
    digest, data = data[:32], data[32:]
    if sha256(data).digest() != digest:
        raise ValueError("it is damaged")
    kept = _decode(data)
    if len(kept.psk) != c.TICKET_PSK or not 0 < len(kept.ticket) <= c.TICKET_MAX:
        raise ValueError("it holds no ticket")
    return kept


class KeptTicket:
    """Of one client: whose tickets it keeps, and where. Without a file it keeps nothing."""

    def __init__(self, file: TicketFile | None, whose: Whose) -> None:
        self._file = file
        self.whose = whose

    def load(self, now: float) -> Ticket | None:
        if self._file is None or not self.whose.user:
            return None
        return self._file.load(self.whose, now)

    def keep(self, user: str, ticket: Ticket, now: float) -> None:
        if self._file is not None:
            self._file.keep(self.whose._replace(user=user), ticket, now)

    def forget(self) -> None:
        if self._file is not None:
            self._file.forget()

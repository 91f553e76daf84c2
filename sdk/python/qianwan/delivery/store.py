"""How far the application has read, so that a restart misses nothing.

A conversation's position moves when the application asks for the message after it: what it was handling
when it
stopped comes again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import tempfile
from pathlib import Path
from typing import Protocol

import msgspec

from qianwan.connection.search import Network
from qianwan.protocol.auth import DEVICE_ID

log = logging.getLogger("qianwan")


class Position(msgspec.Struct):
    """What is remembered: the `sync` cursor, per conversation [read up to, known to exist], the last key
    set and the last answer of an LBS, the device id this program was given, and (hexadecimal) which
    incarnation of the server's store the numbers belong to. Beside it what was learned of networks (at most
    20), and the last policy with the moment (seconds since 1970) at which it was known to hold.
    """

    user: str = ""
    cursor: int = 0
    conversations: dict[str, tuple[int, int]] = {}
    key_set: str = ""
    device: str = ""
    incarnation: str = ""
    placement: str = ""
    networks: dict[str, Network] = {}
    policy: dict[str, object] = {}
    policy_at: float = 0.0


class CursorStore(Protocol):
    """Keeps one Position. `save` is called a few times a second at most and must not be slow. What `load`
    raises, `Client.open` raises; what `save` raises is logged, told by `Client.cursor_error`, tried again.
    """

    def load(self) -> Position:
        """The last saved position, or a new one."""

    def save(self, position: Position) -> None:
        """Replace what `load` returns, as a whole or not at all."""


class MemoryCursor:
    """Forgets with the process: the server's record of what this device acked is all there is after a
    restart.
    """

    def __init__(self) -> None:
        self._position = Position()

    def load(self) -> Position:
        return self._position

    def save(self, position: Position) -> None:
        self._position = position


class FileCursor:
    """One JSON file, replaced atomically. A damaged one counts as missing: the server knows what was
    acked.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def load(self) -> Position:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Position)
        except FileNotFoundError:
            return Position()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            log.warning("%s is damaged, starting from what the server knows: %s", self._path, error)
            return Position()

    def save(self, position: Position) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(position))
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


class Keeper:
    """The position in use, and the store it is written to. Raises what the store's `load` raises."""

    def __init__(self, store: CursorStore, device: str | None) -> None:
        self._store = store
        self.position = store.load()
        self.dirty = False
        self.error: Exception | None = None
        """why the position could not be written down, as long as it cannot"""
        if device is None and not DEVICE_ID.fullmatch(self.position.device):
            self.position.device = "py-" + secrets.token_hex(8)
            self.save()
        self.device = device or self.position.device

    def forget(self) -> None:
        """Begin anew: only who and what this program is stays known."""
        known = self.position
        self.position = Position(
            known.user,
            key_set=known.key_set,
            device=known.device,
            incarnation=known.incarnation,
            placement=known.placement,
            networks=known.networks,
            policy=known.policy,
            policy_at=known.policy_at,
        )
        self.dirty = True

    def save(self) -> None:
        """Write the position down; what hinders it is told once, and the position stays `dirty`."""
        try:
            self._store.save(self.position)
        except Exception as error:  # of the application's store, which must not end the client
            if self.error is None:
                log.warning("the read position cannot be saved, trying again: %s", error)
            self.error, self.dirty = error, True
        else:
            if self.error is not None:
                log.warning("the read position is saved again")
            self.error, self.dirty = None, False

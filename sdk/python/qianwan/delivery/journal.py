"""Messages that are not acknowledged yet, on disk, so that they outlive the program.

A file of msgpack records, appended only: `[user, client id, target, payload]` when a message is taken, and
`[client id]` when its answer is final, each behind its length. What a program wrote before it was killed is
there; a record that was cut off in the middle is not. The file is written anew, without what is done, when it
is opened and when it has grown. One that is damaged elsewhere than at its end is kept beside it as
`<name>.damaged`, and every record that can still be read goes out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import msgspec

if sys.platform != "win32":  # there two programs are not kept apart
    import fcntl

log = logging.getLogger("qianwan")
REWRITE_RECORDS = 10_000
HEAD = 4
"""Bytes of a record's length."""
LISTS = b"\x91\x94"
"""How msgpack's lists of one and of four begin."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Unsent(NamedTuple):
    """A message as it was taken. `user`: who was to send it, "" if that was not known."""

    user: str
    client_id: str
    target: str
    payload: bytes


class OutboxStore(Protocol):
    """Keeps unacknowledged messages, in order. What `keep` raises, `Client.send` raises, and nothing is
    sent."""

    def load(self) -> list[Unsent]:
        """What is left of earlier runs."""

    def keep(self, message: Unsent) -> None: ...

    def done(self, client_id: str) -> None:
        """Forget it; must not raise."""

    def close(self) -> None:
        """The client is closed; what is kept stays."""


class FileOutbox:
    """One file; one program at a time: a second one gets BlockingIOError."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._kept: dict[str, Unsent] = {}
        self._records = 0
        self._file = -1
        self._lock: BinaryIO | None = None

    def load(self) -> list[Unsent]:
        self._take_lock()
        self._kept = {}
        with contextlib.suppress(FileNotFoundError):
            data = self._path.read_bytes()
            records, lost = _records(data)
            if lost:
                self._put_aside(data, len(records), lost)
            for record in records:
                if isinstance(record, Unsent):
                    self._kept[record.client_id] = record
                else:
                    self._kept.pop(record, None)
        self._rewrite()
        return list(self._kept.values())

    def _take_lock(self) -> None:
        """The operating system gives it back when the program ends, however it does."""
        if self._lock is not None or sys.platform == "win32":
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = self._path.with_name(self._path.name + ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise BlockingIOError(f"{self._path} is the outbox of another program that runs") from None
        self._lock = lock

    def _put_aside(self, data: bytes, read: int, lost: int) -> None:
        aside = self._path.with_name(self._path.name + ".damaged")
        aside.write_bytes(data)
        aside.chmod(0o600)
        log.warning(
            "%s is damaged: %d records were read, %d bytes were not; a copy is %s",
            self._path,
            read,
            lost,
            aside,
        )

    def keep(self, message: Unsent) -> None:
        if self._file < 0:
            self.load()
        self._append(list(message))
        self._kept[message.client_id] = message

    def done(self, client_id: str) -> None:
        if self._kept.pop(client_id, None) is None or self._file < 0:
            return
        try:
            self._append([client_id])
            if self._records > REWRITE_RECORDS + 2 * len(self._kept):
                self._rewrite()
        except OSError as error:  # it is sent again after a restart, and stored once
            log.warning("%s: %s", self._path, error)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _append(self, record: list[str | bytes]) -> None:
        data = _encode(record)
        data = len(data).to_bytes(4, "big") + data
        written = os.write(self._file, data)
        if written < len(data):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(f"{self._path}: the disk is full")
        self._records += 1

    def _rewrite(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        if self._file >= 0:
            os.close(self._file)
        self._file, self._records = os.open(fresh, flags, 0o600), 0
        for message in self._kept.values():
            self._append(list(message))
        os.fsync(self._file)
        os.replace(fresh, self._path)


def _records(data: bytes) -> tuple[list[Unsent | str], int]:
    """What can be read, and how many bytes cannot; a record that was cut off at the end is none of these."""
    found: list[Unsent | str] = []
    at = read = sound = 0  # sound: behind the last record that was read
    while len(data) - at >= HEAD:
        size = int.from_bytes(data[at : at + HEAD], "big")
        record = _record(data, at + HEAD, size)
        if record is None:
            at += 1
            continue
        found.append(record)
        read += HEAD + size
        at += HEAD + size
        sound = at
    left = data[sound:]
    return found, sound - read + (0 if _is_cut(left) else len(left))


def _record(data: bytes, at: int, size: int) -> Unsent | str | None:
    if not 0 < size <= len(data) - at or data[at] not in LISTS:
        return None
    try:
        record = _decode(data[at : at + size])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    match record:
        case [str(user), str(client_id), str(target), bytes(payload)]:
            return Unsent(user, client_id, target, payload)
        case [str(client_id)]:
            return client_id
        case _:
            return None


def _is_cut(left: bytes) -> bool:
    """Is this the beginning of a record that goes beyond the end?"""
    return len(left) < HEAD or int.from_bytes(left[:HEAD], "big") > len(left) - HEAD

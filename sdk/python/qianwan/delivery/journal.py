"""Messages that are not acknowledged yet, on disk, so that they outlive the program.

A file of msgpack records, appended only: `[user, client id, target, payload]` when a message is taken, and
`[client id]` when its answer is final. What a program wrote before it was killed is there; a record that was
cut off in the middle is not. The file is written anew, without what is done, when it is opened and when
it has grown.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

log = logging.getLogger("qianwan")
REWRITE_RECORDS = 10_000
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
    """One file; one program at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._kept: dict[str, Unsent] = {}
        self._records = 0
        self._file = -1

    def load(self) -> list[Unsent]:
        self._kept = {}
        with contextlib.suppress(FileNotFoundError):
            for record in _records(self._path.read_bytes()):
                if isinstance(record, Unsent):
                    self._kept[record.client_id] = record
                else:
                    self._kept.pop(record, None)
        self._rewrite()
        return list(self._kept.values())

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
        self.close()
        self._file, self._records = os.open(fresh, flags, 0o600), 0
        for message in self._kept.values():
            self._append(list(message))
        os.fsync(self._file)
        os.replace(fresh, self._path)


def _records(data: bytes) -> list[Unsent | str]:
    """What can be read; a cut or damaged end is left out."""
    found: list[Unsent | str] = []
    at = 0
    while len(data) - at >= 4:
        size = int.from_bytes(data[at : at + 4], "big")
        piece = data[at + 4 : at + 4 + size]
        at += 4 + size
        try:
            record = _decode(piece)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            break
        match record:
            case [str(user), str(client_id), str(target), bytes(payload)] if len(piece) == size:
                found.append(Unsent(user, client_id, target, payload))
            case [str(client_id)] if len(piece) == size:
                found.append(client_id)
            case _:
                break
    return found

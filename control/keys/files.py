"""Private files: readable by their owner only, written whole or not at all, one writer at a time.

A key file is one JSON object. Binary values are base64url without padding (RFC 4648 section 5). Whoever
changes a file holds the folder's lock from before it reads. Root reads the files of whoever owns the folder
they are in, and leaves what it writes there to that user: an operator beside a server without rights.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from control.keys.errors import KeyFileError, NotYours

MAX_BYTES = 4096  # a key file holds a few hundred; more is not ours
_UNFINISHED = ".unfinished"


def make_private_directory(folder: Path) -> None:
    """Create `folder` with mode 0700; KeyFileError when one exists that others may write to."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(folder.parent)
    mode = folder.stat().st_mode
    if mode & 0o022:
        raise KeyFileError(f"{folder} is writable by others (mode {mode & 0o777:04o}): chmod 700 {folder}")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone: processes that share it take turns. KeyFileError when it is missing.

    What a killed writer left unfinished is removed. Root follows no link that another user made.
    """
    try:
        if os.geteuid() == 0 and folder.is_symlink() and folder.lstat().st_uid != 0:
            raise NotYours(f"{folder} is a link that {owner_of(folder)} made: root does not follow it")
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        raise not_yours(folder) from None
    except OSError as error:
        raise KeyFileError(f"cannot open the key folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        for name in os.listdir(fd):
            if name.endswith(_UNFINISHED):
                with contextlib.suppress(OSError):  # a folder we may only read
                    os.unlink(name, dir_fd=fd)
        yield
    finally:
        os.close(fd)


def read_private(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    KeyFileError when it is missing, malformed, no regular file of ours, or open to group or others.
    """
    try:
        value = json.loads(read_bytes(path, MAX_BYTES))
        if not isinstance(value, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise KeyFileError(f"{path} is no key file: {error}") from error
    return value


def read_bytes(path: Path, limit: int) -> bytes:
    """What is in a file of ours that nobody else can read; KeyFileError when it is not such a file.

    ValueError when it has more than `limit` bytes.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError:
        raise not_yours(path) from None
    except OSError as error:
        raise KeyFileError(f"cannot open the key file {path}: {error.strerror}") from error
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path} is not a regular file")
        if status.st_uid not in (os.geteuid(), 0, _served(path)):
            raise not_yours(path)
        if status.st_mode & 0o077:
            raise KeyFileError(
                f"{path} is open to others (mode {status.st_mode & 0o777:04o}): chmod 600 {path}, "
                "and replace the key if somebody may have read it"
            )
        raw = file.read(limit + 1)
    if len(raw) > limit:
        raise ValueError("too long")
    return raw


def not_yours(path: Path) -> NotYours:
    """Who may do it, where this user may not."""
    return NotYours(f"{path} belongs to {owner_of(path)}: run this as that user, or as root")


def owner_of(path: Path) -> str:
    """The name of its user, or the number where it has none here: of a container, of a unit."""
    try:
        owner = path.lstat().st_uid
    except OSError:  # in a folder that tells this user nothing
        return "another user"
    try:
        return f"user {pwd.getpwuid(owner).pw_name}"
    except KeyError:
        return f"user {owner}"


def _served(path: Path) -> int:
    """Of root, the user who owns the folder of `path`: a server's that runs as that user. Else -1."""
    return path.parent.stat().st_uid if os.geteuid() == 0 else -1


def write_private(path: Path, value: dict[str, Any], *, replace: bool) -> None:
    """Write `value` with mode 0600, durably and atomically: after a crash the old file stands or the new one.

    With `replace` false a file that exists is kept: KeyFileError.
    """
    write_bytes(path, json.dumps(value, indent=1).encode() + b"\n", replace=replace)


def write_bytes(path: Path, content: bytes, *, replace: bool) -> None:
    """The same for bytes: a file beside it, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}{_UNFINISHED}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            if (owner := _served(path)) >= 0:  # others may not even have the system call
                os.fchown(fd, owner, -1)
            file.write(content)
            file.flush()
            os.fsync(fd)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)
    except FileExistsError as error:
        raise KeyFileError(f"{path} exists already") from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove a key file, durably."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""Whether the files that are written are still those that the path names."""

import ctypes
import os
import struct
from pathlib import Path

from im_service.storage.errors import StoreUnavailable

Identity = tuple[int, int]


class OpenedFile:
    """The file and its log as they were when they were opened. A file that was removed, or that another one
    was put in the place of, can still be written; whoever opens the path afterwards finds nothing of it.
    """

    def __init__(self, path: Path) -> None:
        self._files = {str(file): _identity(str(file)) for file in (path, Path(f"{path}-wal"))}

    def origin(self) -> str:
        """Inode and time of birth of the file that was opened. Numbers of inodes are used again, and no copy
        can be given another's time of birth."""
        path, opened = next(iter(self._files.items()))
        return f"{opened[1]}/{_born_ns(path)}" if opened else ""

    def check(self) -> None:
        """StoreUnavailable when they are not. Two system calls."""
        for file, opened in self._files.items():
            found = _identity(file)
            if found is None or found != opened:
                what = "removed" if found is None else "replaced"
                raise StoreUnavailable(
                    f"{file}: the file was {what} under the running server:"
                    " put it back and start the server again"
                )


LATER_S = 20
"""A running server commits every few seconds: its log is never much older than its file."""


def check_log(path: Path) -> None:
    """StoreUnavailable when the log beside a file that is not open is of another file: SQLite would write
    what it holds over a copy that was put back, which then is undone, or damaged. Every way to put a file in
    its place changes the file's ctime.
    """
    log = Path(f"{path}-wal")
    try:
        file, kept = path.stat(), log.stat()
    except OSError:
        return
    if kept.st_size and file.st_ctime > kept.st_ctime + LATER_S:
        raise StoreUnavailable(
            f"{path} was put there {file.st_ctime - kept.st_ctime:.0f} s after the last write to {log.name}:"
            f" to use a copy that was put back, remove {log.name} and {path.name}-shm;"
            f" if they belong together, say so with `touch {log}`"
        )


def _identity(file: str) -> Identity | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_AT_FDCWD, _STATX_BTIME = -100, 0x800
_STATX_BYTES, _BTIME_AT = 256, 80


def _born_ns(file: str) -> int:
    """When the file was made, 0 where that is not kept: statx(2), which os.stat does not ask."""
    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return 0
    found = ctypes.create_string_buffer(_STATX_BYTES)
    failed = statx(_AT_FDCWD, os.fsencode(file), 0, _STATX_BTIME, found)
    (mask,) = struct.unpack_from("=I", found)
    if failed or not mask & _STATX_BTIME:
        return 0
    seconds, ns = struct.unpack_from("=qI", found, _BTIME_AT)
    return int(seconds * 1_000_000_000 + ns)

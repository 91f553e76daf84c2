"""One server on one data folder: two would keep the same store and deliver nothing to each other."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from control.errors import StartError
from control.part import Part

LOCK_FILE = "serve.lock"


def holder(folder: Path) -> int | None:
    """The process that holds the folder, 0 when it is not known which; None when nobody does."""
    try:
        file = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return _shared_by(file)
    except OSError:
        return _written(file)
    finally:
        os.close(file)


def _shared_by(file: int) -> int | None:
    """Of processes that share it: only alone could it be had now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _written(file)
    return None


def _written(file: int) -> int:
    text = os.pread(file, 20, 0).decode("ascii", "replace")
    return int(text) if text.isdigit() else 0


class DataFolder(Part):
    """Holds the folder's lock while this process lives; the kernel gives it back, however the process ends.

    A server that is `alone` shares the folder with nobody. The processes of a cluster may share one, for its
    keys: what joins them is the bus. Raises StartError when somebody else is there.
    """

    def __init__(self, folder: Path, *, alone: bool) -> None:
        self._folder = folder
        self._alone = alone
        self._file: int | None = None

    async def start(self) -> None:
        self._file = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        kind = fcntl.LOCK_EX if self._alone else fcntl.LOCK_SH
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise OSError(error.errno, f"{self._folder / LOCK_FILE}: {error.strerror}") from None
            raise StartError(
                f"data folder {self._folder} is used by another server{self._holder()}: stop it,"
                " or give this one its own [server] data_dir"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    async def stop(self, grace_s: float) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _holder(self) -> str:
        pid = _written(self._file) if self._file is not None else 0
        return f" (process {pid})" if pid else ""

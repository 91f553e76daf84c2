"""One server on one data folder: two would keep the same store and deliver nothing to each other."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from control.errors import StartError
from control.part import Part

LOCK_FILE = "serve.lock"
WRITTEN_BYTES = 1024


class Holder(NamedTuple):
    """A process that holds a data folder: its id, 0 when it is not known which, and where it listens. Of
    those that share one it is the last that started."""

    pid: int
    addresses: Mapping[str, str]


def holder(folder: Path) -> Holder | None:
    """Who holds the folder; None when nobody does."""
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


def _shared_by(file: int) -> Holder | None:
    """Of processes that share it: only alone could it be had now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _written(file)
    return None


def _written(file: int) -> Holder:
    """The lock's file: the process id, then a line `name host:port` for each address."""
    pid, *rest = os.pread(file, WRITTEN_BYTES, 0).decode("ascii", "replace").splitlines() or [""]
    words = [line.split(" ") for line in rest]
    return Holder(int(pid) if pid.isdigit() else 0, {one[0]: one[1] for one in words if len(one) == 2})


class DataFolder(Part):
    """Holds the folder's lock while this process lives; the kernel gives it back, however the process ends.

    A server that is `alone` shares the folder with nobody. The processes of a cluster may share one, for its
    keys: what joins them is the bus. Raises StartError when somebody else is there. Where the process
    listens, `addresses`, is written beside its id: a port 0 is known by that alone.
    """

    def __init__(self, folder: Path, addresses: Callable[[], Mapping[str, str]], *, alone: bool) -> None:
        self._folder = folder
        self._addresses = addresses
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
        self._write({})

    async def started(self) -> None:
        self._write(self._addresses())

    async def stop(self, grace_s: float) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, addresses: Mapping[str, str]) -> None:
        if self._file is not None:
            lines = [str(os.getpid()), *(f"{name} {address}" for name, address in addresses.items())]
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, "\n".join(lines).encode(), 0)

    def _holder(self) -> str:
        pid = _written(self._file).pid if self._file is not None else 0
        return f" (process {pid})" if pid else ""

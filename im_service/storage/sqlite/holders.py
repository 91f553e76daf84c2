"""The holders of a SQLite store: a file with a lock (flock) for each, beside the data."""

import fcntl
import os
from pathlib import Path

SUFFIX = ".im-lock"


class FileHolders:
    """Implements Holders. The kernel gives a lock back, however its process ends."""

    patience_s = 2.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._file = -1

    async def hold(self, own: int) -> None:
        path = self._folder / f"{own:014x}{SUFFIX}"
        while self._path is None:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._file).st_nlink:
                self._path = path
            else:
                os.close(self._file)  # another one saw it before it was locked, and took it for a dead one's

    async def others(self, own: int) -> list[int]:
        """Files that nobody holds any more are removed by a holder: an epoch is never used again."""
        found = []
        for path in sorted(self._folder.glob("*" + SUFFIX)):
            key = int(path.name.removesuffix(SUFFIX), 16)
            if key == own:
                continue
            if _held(path):
                found.append(key)
            elif self._path is not None:
                path.unlink(missing_ok=True)
        return found

    async def release(self) -> None:
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
            os.close(self._file)


def _held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False

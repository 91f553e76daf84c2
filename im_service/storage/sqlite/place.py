"""Whether the files that are written are still those that the path names."""

import os
from pathlib import Path

from im_service.storage.errors import StoreUnavailable

Identity = tuple[int, int]


class Place:
    """The file and its log as they were when they were opened. A file that was removed, or that another one
    was put in the place of, can still be written; whoever opens the path afterwards finds nothing of it.
    """

    def __init__(self, path: Path) -> None:
        self._files = {str(file): _identity(str(file)) for file in (path, Path(f"{path}-wal"))}

    def inode(self) -> str:
        """Of the file that was opened."""
        opened = next(iter(self._files.values()))
        return str(opened[1]) if opened else ""

    def check(self) -> None:
        """StoreUnavailable when they are not. Two system calls."""
        for file, opened in self._files.items():
            found = _identity(file)
            if found is None or found != opened:
                what = "removed" if found is None else "replaced"
                raise StoreUnavailable(
                    f"{file}: the file was {what} under the running server:"
                    " put it back, or start the server again"
                )


def _identity(file: str) -> Identity | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino

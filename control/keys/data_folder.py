"""The data folder: what is in it, and that only its owner looks into it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from control.keys.errors import KeyFileError
from control.keys.files import make_private_directory
from control.logs import get_logger

KEY_FOLDER = "keys"
STORE_FILE = "store.sqlite3"
FIRST_KEY_FILE = "first-api-key"
COORDINATION_FILE = "coordination.sqlite3"
"""Documents of a cluster without etcd (coordination/sqlite_documents.py)."""
STORE_SEEN_FILE = "store.seen"
"""What the im role remembers of its store, whichever engine it has."""

log = get_logger("keys")


def prepare_data_folder(folder: Path) -> None:
    """Make the folder, or take from others what an older or hand-made one gives them.

    Raises KeyFileError where anybody may write to it and that cannot be changed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = (f"{STORE_FILE}*", f"{COORDINATION_FILE}*")
    files = [path for name in names for path in sorted(folder.glob(name)) if path.is_file()]
    closed = [path.name or str(path) for path in (folder, *files) if _close(path)]
    if closed:
        log.warning("closed to others", data_dir=str(folder), paths=closed)


def make_key_folder(data: Path) -> None:
    """Make `keys` for a command: root leaves it to whoever owns the data folder."""
    folder = data / KEY_FOLDER
    if folder.is_dir():
        return
    make_private_directory(folder)
    if os.geteuid() == 0:
        status = data.stat()
        os.chown(folder, status.st_uid, status.st_gid)


def _close(path: Path) -> bool:
    """Take every right of group and others from `path`. True when they had one."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return False
    try:
        os.chmod(path, mode & 0o700)
    except PermissionError:
        # A volume may belong to somebody else; what we make in it is 0600, but nobody may replace it.
        if mode & 0o002 and not mode & stat.S_ISVTX:
            raise KeyFileError(
                f"{path} is writable by everybody (mode {mode:04o}): chmod 700 {path}"
            ) from None
        return False
    return True

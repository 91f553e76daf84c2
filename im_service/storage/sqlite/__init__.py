"""The embedded store: one SQLite file, one writer thread, a few readers."""

from im_service.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]

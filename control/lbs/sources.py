"""The atlas in use, kept up to date: the document `lbs/tables`, a file of tables, MaxMind files.

What is new and wrong is told once and leaves what was there in use. At the start it stops the process: then
somebody is there to read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from control.coordination.documents import Document
from control.errors import StartError
from control.lbs.geo import GeoFile
from control.lbs.locate import Atlas
from control.lbs.tables import Tables, parse_tables
from control.logs import get_logger
from control.part import Part, Source

log = get_logger("lbs")

DOCUMENT = "lbs/tables"
Read = TypeVar("Read")
Stamp = tuple[int, int, int]


class Watched(Generic[Read]):
    """One file, read by `read`, again whenever it is another one."""

    def __init__(self, path: Path, read: Callable[[Path], Read]) -> None:
        self.path = path
        self._read = read
        self._seen: Stamp | None = None
        self.value: Read | None = None
        self.problem: str | None = None

    async def look(self) -> bool:
        """True when it was read anew. What cannot be read is a problem until it is replaced."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            self._seen = stamp
            self.value = await asyncio.to_thread(self._read, self.path)  # up to a second for a large one
        except (OSError, ValueError) as error:
            reason = f"{self.path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            if reason != self.problem:
                log.error("a file of the LBS cannot be used, what was read before is", reason=reason)
            self.problem = reason
            return False
        self.problem = None
        log.info("a file of the LBS was read", file=str(self.path))
        return True

    def _stamp(self) -> Stamp:
        found = self.path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino


class LbsSources(Part):
    """Holds the atlas. `told` is given each document under `lbs/`, as a Replica does.
    `others`: further numbers of the section "lbs"."""

    def __init__(
        self, tables: str, files: tuple[str, ...], others: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self._others = others
        self._table = Watched(Path(tables), read_tables) if tables else None
        self._files = [Watched(Path(name), GeoFile) for name in files]
        self._heard: tuple[Document | None] | None = None  # not read yet
        self._document: tuple[str, Tables] | None = None
        self._document_problem: str | None = None
        self._atlas = Atlas()
        self._reads = self._refusals = 0

    def atlas(self) -> Atlas:
        return self._atlas

    def told(self, key: str, document: Document | None) -> None:
        if key == DOCUMENT:
            self._heard = (document,)

    async def start(self) -> None:
        await self._read_document()
        for watched in self._watched():
            await watched.look()
            if watched.problem is not None:
                raise StartError(f"[control.lbs]: {watched.problem}")
        self._draw()

    async def tick(self) -> None:
        changed = await self._read_document()
        for watched in self._watched():
            before = watched.problem
            if await watched.look():
                changed = True
            elif watched.problem not in (None, before):
                self._refusals += 1
        if changed:
            self._draw()

    async def _read_document(self) -> bool:
        """True when what was heard last of it is in use now; a large one takes half a second, in a thread."""
        if self._heard is None:
            return False
        (document,), self._heard = self._heard, None
        try:
            tables = await asyncio.to_thread(parse_tables, document.value) if document is not None else None
        except ValueError as error:
            self._refusals += 1
            self._document_problem = str(error)
            log.error("a document of the LBS cannot be used, the one before is", reason=str(error))
            return False
        self._document_problem = None
        name = f"{DOCUMENT} at revision {document.revision}" if document is not None else ""
        self._document = (name, tables) if tables is not None else None
        return True

    def sources(self) -> Mapping[str, Source]:
        return {"lbs": self._numbers}

    def problem(self) -> str | None:
        """Why something newer is not in use."""
        problems = [watched.problem for watched in self._watched()]
        return next((one for one in (*problems, self._document_problem) if one), None)

    def _numbers(self) -> dict[str, int]:
        return {
            **self._others(),
            "table_lines": sum(len(tables.lines) for _, tables in self._named_tables()),
            "sources_read_total": self._reads,
            "sources_refused_total": self._refusals,
            "sources_stale": int(self.problem() is not None),
        }

    def _watched(self) -> list[Watched[Tables] | Watched[GeoFile]]:
        return [*([self._table] if self._table else []), *self._files]

    def _named_tables(self) -> list[tuple[str, Tables]]:
        found = [self._document] if self._document is not None else []
        if self._table is not None and self._table.value is not None:
            found.append((self._table.path.name, self._table.value))
        return found

    def _draw(self) -> None:
        self._reads += 1
        files = [watched.value for watched in self._files if watched.value is not None]
        self._atlas = Atlas(self._named_tables(), files)


def read_tables(path: Path) -> Tables:
    try:
        return parse_tables(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None

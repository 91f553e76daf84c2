"""Looks at the store again and again: does it commit, and is it still the one it was."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from control.logs import get_logger
from control.node_ids import COUNTER_BITS, LOGINS_AHEAD
from im_service.ports import Clock
from im_service.storage import migrations
from im_service.storage.errors import StoreUnavailable
from im_service.storage.ops.incarnation import Seen
from im_service.storage.store import Store

log = get_logger("im")

EVERY_S = 5.0
"""A look is one commit: rarely while all is well, and once a second while it is not."""
TROUBLED_S = 1.0
ANSWER_S = 3.0
"""A look that takes longer makes the process unready."""


class _Kept(msgspec.Struct):
    incarnation: str
    beat: int
    login: int = 0


class StoreWatch:
    """`kept`: a file beside the data that remembers the store from start to start, so that one that was put
    back from a copy is noticed (docs/decisions/0021). What /readyz says of the store comes from here (0022).
    The file remembers the latest login too, which `login` tells, so that a clock that was set back repeats
    none.
    """

    def __init__(self, store: Store, kept: Path, clock: Clock, login: Callable[[], int] = lambda: 0) -> None:
        self._store = store
        self._kept = kept
        self._clock = clock
        self._login = login
        self.past_logins = 0
        """no login before this start was later"""
        self._seen = Seen()
        self._problem: str | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def incarnation(self) -> bytes:
        """16 bytes, none before the first look."""
        return self._seen.incarnation

    def problem(self) -> str | None:
        """Why nothing can be committed, None when it can."""
        return self._store.trouble() or self._problem

    async def start(self) -> None:
        """The first look. StoreError when it fails."""
        kept = await asyncio.to_thread(_read, self._kept)
        self._seen = Seen(bytes.fromhex(kept.incarnation), kept.beat)
        self.past_logins = kept.login + LOGINS_AHEAD if kept.login else 0
        await self._look()
        self._task = asyncio.create_task(self._watch(), name="store-watch")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TROUBLED_S if self.problem() else EVERY_S)
            look = asyncio.create_task(self._look())
            done, _ = await asyncio.wait({look}, timeout=ANSWER_S)
            while not done:
                self._tell("the store does not answer")
                done, _ = await asyncio.wait({look}, timeout=TROUBLED_S)
            error = look.exception()
            self._tell(None if error is None else str(error) or type(error).__name__)

    def _tell(self, problem: str | None) -> None:
        if problem and not self._problem:
            log.warning("the store takes no commit", reason=problem)
        elif self._problem and not problem:
            log.info("the store takes commits again")
        self._problem = problem

    async def _look(self) -> None:
        found = await self._store.beat(self._seen, os.urandom(16), self._clock.now_ms())
        if found.restored:
            log.warning(
                "the store was put back from a copy: it begins a new incarnation, clients start over",
                reason=found.restored,
                incarnation=found.incarnation.hex(),
            )
        elif self._seen.incarnation not in (b"", found.incarnation):
            log.warning(
                "the store has a new incarnation, which another process or `store restored` began:"
                " clients start over",
                incarnation=found.incarnation.hex(),
            )
        self._seen = Seen(found.incarnation, found.beat)
        login = max(self._login(), self.past_logins, self._clock.now_ms() << COUNTER_BITS)
        await asyncio.to_thread(_write, self._kept, _Kept(found.incarnation.hex(), found.beat, login))


async def refuse_lost(store: Store, file: Path, kept: Path) -> None:
    """StoreUnavailable when the SQLite file that `kept` remembers is gone or has nothing in it: what is new
    would look like a start. `store` has not started.
    """
    if not _read(kept).incarnation:
        return
    size = await asyncio.to_thread(_size, file)
    if size and await store.look() < len(migrations.load("sqlite")):
        return
    lost = "is gone" if size is None else "is empty"
    raise StoreUnavailable(
        f"{file} {lost}, though this folder had a store: put it back from a copy,"
        f" or remove {kept.name} to begin with an empty one"
    )


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return None


def _read(path: Path) -> _Kept:
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        bytes.fromhex(kept.incarnation)
        return kept
    except FileNotFoundError:
        return _Kept("", 0)
    except (OSError, ValueError, msgspec.DecodeError) as error:
        log.warning("what was seen of the store cannot be read", path=str(path), reason=str(error))
        return _Kept("", 0)


def _write(path: Path, kept: _Kept) -> None:
    """An older content is no harm, so a full disk is none."""
    new = path.with_name(path.name + ".new")
    with suppress(OSError):
        new.write_bytes(msgspec.json.encode(kept))
        new.replace(path)

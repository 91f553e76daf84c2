"""The files of one trail: segments of lines, one writer at a time, however many processes share the folder.

    audit/<trail>/000000000001.jsonl    lines 1 to n, oldest segment first
                  heads.jsonl           last line and hash of every segment that is full, also of those gone
                  tail                  last line and hash as they were written: what was cut off is missed
                  lock                  held by who writes

A line is on the disk when `append` returns. Where that fails the file is as it was before. What a crash left
half is repaired by the next line: half a line was told to nobody, and a head is read from its segment again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from control.audit.entry import NOWHERE, Place, Words, decode, hash_of, line_of, parse_anchor

HEADS, TAIL, LOCK = "heads.jsonl", "tail", "lock"
SUFFIX = ".jsonl"
SEGMENT = re.compile(r"[0-9]{12,18}\.jsonl")


UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What comes of reading a line that nobody wrote so."""


class Damaged(Exception):
    """A file holds what was never written there; the text says where."""


class AuditUnavailable(Exception):
    """The line could not be written: a full disk, mostly. Nothing was."""


class Head(msgspec.Struct):
    """A segment that is full."""

    first: int
    last: int
    hash: str


_decode_head = msgspec.json.Decoder(Head).decode


class _Known(NamedTuple):
    path: Path
    size: int
    place: Place


class AuditLog:
    """One trail. `kept_bytes` bounds all of its segments, but for those with a line younger than `kept_s`;
    `segment_bytes` bounds one. Not for several threads.
    """

    def __init__(
        self,
        folder: Path,
        kept_bytes: int,
        segment_bytes: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        kept_s: float = 0.0,
    ) -> None:
        self.folder = folder
        self._kept_bytes = kept_bytes
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._kept_s = kept_s
        self._known: _Known | None = None

    def append(self, words: Sequence[Words]) -> list[Place]:
        """Write these lines, durably, all or none; where each of them stands. Raises AuditUnavailable."""
        try:
            with self._locked():
                return self._append(words)
        except OSError as error:
            self._known = None
            raise AuditUnavailable(f"the audit log cannot be written: {error}") from error
        except Damaged as error:
            self._known = None
            text = f"{self.folder} is damaged: {error}; see `qianwan audit verify`, then move the folder away"
            raise AuditUnavailable(text) from error

    def size(self) -> int:
        """Bytes of all segments."""
        return sum(path.stat().st_size for path in segments(self.folder))

    def _append(self, words: Sequence[Words]) -> list[Place]:
        path, size, place = self._end()
        at = self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lines, places = [], [place]
        for each in words:
            line, place = line_of(each, place, at)
            lines.append(line)
            places.append(place)
        content = b"".join(lines)
        if size and size + len(content) > self._segment_bytes:
            self._close(path, places[0])
            path, size = self._segment(places[0].seq + 1), 0
        self._write(path, size, content)
        self._known = _Known(path, size + len(content), place)
        self._put(TAIL, f"{place}\n".encode())
        return places[1:]

    def _end(self) -> _Known:
        """The last segment and where the chain is. Half a line of a crash was told to nobody: it goes."""
        found = segments(self.folder)
        known = self._known
        path, size = (found[-1], found[-1].stat().st_size) if found else (None, 0)
        if known is not None and known.path == path and known.size == size:
            return known
        closed = self._repaired_heads(found[:-1])
        if path is None:
            place = Place(closed[-1].last, closed[-1].hash) if closed else NOWHERE
            return _Known(self._segment(place.seq + 1), 0, place)
        if whole := self._whole(path):
            return _Known(path, len(whole), last_of(path, whole))
        first = int(path.stem)
        before = [each for each in closed if each.last == first - 1]
        if not before and first != 1:
            raise Damaged(f"the lines before {first} are gone, and no head tells of them")
        return _Known(path, 0, Place(before[0].last, before[0].hash) if before else NOWHERE)

    def _repaired_heads(self, full: Sequence[Path]) -> list[Head]:
        """Those that stand there, and those of full segments that a crash left without."""
        file = self.folder / HEADS
        content = self._whole(file) if file.exists() else b""
        found = heads_in(content)
        told = {head.first for head in found}
        missing = [path for path in full if int(path.stem) not in told]
        made = []
        for path in missing:
            place = last_of(path, path.read_bytes())
            made.append(Head(int(path.stem), place.seq, place.hash))
        if made:
            self._write(file, len(content), b"".join(msgspec.json.encode(head) + b"\n" for head in made))
        return sorted([*found, *made], key=lambda head: head.last)

    def _whole(self, path: Path) -> bytes:
        """The lines of a file, without half a one at its end, which goes."""
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        return whole

    def _close(self, path: Path, place: Place) -> None:
        """The segment is full: its head stays when it is gone."""
        line = msgspec.json.encode(Head(int(path.stem), place.seq, place.hash)) + b"\n"
        file = self.folder / HEADS
        self._write(file, file.stat().st_size if file.exists() else 0, line)
        found = segments(self.folder)
        kept = sum(each.stat().st_size for each in found)
        for oldest in found:
            if kept + self._segment_bytes <= self._kept_bytes or self._is_young(oldest):
                break
            kept -= oldest.stat().st_size
            oldest.unlink()

    def _is_young(self, path: Path) -> bool:
        """It may not go yet, however much is written behind it."""
        if not self._kept_s:
            return False
        try:
            written = datetime.fromisoformat(decode(path.read_bytes()[:-1].rpartition(b"\n")[2]).at)
        except UNREADABLE:
            return False  # `verify` names what nobody wrote so
        return (self._clock() - written).total_seconds() < self._kept_s

    def _segment(self, first: int) -> Path:
        return self.folder / f"{first:012d}{SUFFIX}"

    def _write(self, path: Path, size: int, content: bytes) -> None:
        """Behind the first `size` bytes, or not at all."""
        fresh = not path.exists()
        fd = self._open(path)
        try:
            try:
                left = memoryview(content)
                while left:
                    left = left[os.pwrite(fd, left, size + len(content) - len(left)) :]
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)
        if fresh:
            _sync(self.folder)

    def _put(self, name: str, content: bytes) -> None:
        """Without a sync but for the first: what is older than the lines only misses less."""
        fresh = not (self.folder / name).exists()
        fd = self._open(self.folder / name)
        try:
            with contextlib.suppress(OSError):
                os.pwrite(fd, content.ljust(96, b" "), 0)
                if fresh:
                    os.fsync(fd)
        finally:
            os.close(fd)

    def _open(self, path: Path) -> int:
        """A file of whoever owns the folder it stands in: root leaves it to the server's user."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if os.geteuid() == 0:
            os.fchown(fd, path.parent.stat().st_uid, -1)
        return fd

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        for folder in (self.folder.parent, self.folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, exist_ok=True)
                if os.geteuid() == 0:
                    os.chown(folder, folder.parent.stat().st_uid, -1)
                _sync(folder.parent)
        fd = self._open(self.folder / LOCK)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def segments(folder: Path) -> list[Path]:
    """Oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if SEGMENT.fullmatch(path.name))
    except FileNotFoundError:
        return []


def heads(folder: Path) -> list[Head]:
    """Of full segments, oldest first. Raises Damaged."""
    try:
        content = (folder / HEADS).read_bytes()
    except FileNotFoundError:
        return []
    if content and not content.endswith(b"\n"):
        raise Damaged(f"the last line of {HEADS} has no end")
    return heads_in(content)


def heads_in(content: bytes) -> list[Head]:
    """Raises Damaged."""
    found = []
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            found.append(_decode_head(line))
        except UNREADABLE as error:
            raise Damaged(f"line {number} of {HEADS} is no head: {error}") from None
    return found


def last_of(path: Path, content: bytes) -> Place:
    """The place of the last line of a segment. Raises Damaged."""
    line = content[:-1].rpartition(b"\n")[2]
    try:
        return Place(decode(line).seq, hash_of(line))
    except UNREADABLE as error:
        raise Damaged(f"the last line of {path.name} is no entry: {error}") from None


def tail(folder: Path) -> Place | None:
    """Where the chain was when it was last written."""
    try:
        return parse_anchor((folder / TAIL).read_text("ascii"))
    except (FileNotFoundError, ValueError):
        return None


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""No room for the store: senders are told 503, only what is stored is acked, and it heals by itself."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from qianwan.constants import RequestCode

from tests.support.chat_ledger import Row, read_store
from tests.support.chat_link import PlainLink
from tests.support.server_process import ServerProcess

BATCH = 50
TEXT = "x" * 2000
DISK = 6 << 20


class Quota:
    """The kernel's limit on the size of a file: a write beyond it fails, as on a full disk."""

    wrapper: tuple[str, ...] = ()

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def fill(self, pid: int) -> None:
        self._set(pid, (self._data_dir / "store.sqlite3-wal").stat().st_size)

    def free(self, pid: int) -> None:
        self._set(pid, resource.RLIM_INFINITY)

    @staticmethod
    def _set(pid: int, size: int) -> None:
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))

    def store(self, pid: int) -> Path:
        return self._data_dir


class SmallDisk:
    """A file system of a few megabytes that only the server sees; needs the right to mount."""

    def __init__(self, data_dir: Path) -> None:
        mount = f'mount -t tmpfs -o size={DISK} tmpfs {data_dir} && exec "$@"'
        self.wrapper = ("unshare", "-m", "sh", "-c", mount, "sh")
        self._data_dir = data_dir

    def store(self, pid: int) -> Path:
        return Path(f"/proc/{pid}/root{self._data_dir}")

    def fill(self, pid: int) -> None:
        with (self.store(pid) / "filler").open("wb", buffering=0) as file, suppress(OSError):
            for size in (1 << 16, 1 << 9):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self, pid: int) -> None:
        (self.store(pid) / "filler").unlink()


def log_of(store: Path, scratch: Path) -> list[Row]:
    """The conversation as it lies on the disk. Copied: SQLite cannot follow the path into another mount."""
    copy = Path(tempfile.mkdtemp(dir=scratch))
    for name in ("store.sqlite3", "store.sqlite3-wal"):
        shutil.copy(store / name, copy / name)
    return read_store(copy)["s/ann:ben"]


def can_mount() -> bool:
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


Place = Callable[[Path], Quota | SmallDisk]


class Sender:
    """Sends batches to one peer and keeps the codes."""

    def __init__(self, link: PlainLink) -> None:
        self._link = link
        self._number = 0
        self.stored: dict[str, tuple[int, int]] = {}
        self.refused: set[str] = set()

    async def batch(self) -> set[int]:
        """The codes that came; every one is OK or UNAVAILABLE."""
        first = self._number + 1
        self._number += BATCH
        names = [f"ann-{number}" for number in range(first, self._number + 1)]
        answers = await asyncio.gather(*(self._link.send("u/ben", name, TEXT) for name in names))
        for name, answer in zip(names, answers, strict=True):
            if answer.code == RequestCode.OK:
                server_id, seq, _ = msgspec.msgpack.decode(answer.payload)
                self.stored[name] = (seq, server_id)
            else:
                assert answer.code == RequestCode.UNAVAILABLE
                self.refused.add(name)
        return {answer.code for answer in answers}

    async def until(self, codes: set[int]) -> None:
        for _ in range(1000):
            if await self.batch() == codes:
                return
        raise AssertionError(f"never answered with {codes} only")

    async def again(self) -> None:
        """What was refused, once more under the same names."""
        for name in sorted(self.refused, key=lambda name: int(name.rpartition("-")[2])):
            answer = await self._link.send("u/ben", name, TEXT)
            assert answer.code == RequestCode.OK
            server_id, seq, _ = msgspec.msgpack.decode(answer.payload)
            self.stored[name] = (seq, server_id)


@pytest.mark.parametrize("place", [SmallDisk] if os.geteuid() == 0 and can_mount() else [])
async def test_the_log_does_not_take_a_small_disk_for_itself(tmp_path: Path, place: Place) -> None:
    """Single sends write many times their size into the log before it is folded into the file."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with ServerProcess(data_dir, {"gateway.loops": 1}, wrapper=place(data_dir).wrapper) as server:
        ann = await PlainLink.open(server, server.token("ann"), "phone")
        codes = [(await ann.send("u/ben", f"m{number}", "hello")).code for number in range(900)]
        assert set(codes) == {RequestCode.OK}
        ann.close()


@pytest.mark.parametrize("place", [Quota, SmallDisk] if os.geteuid() == 0 and can_mount() else [Quota])
async def test_a_full_disk_is_told_and_survived(tmp_path: Path, place: Place) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    disk = place(data_dir)
    with ServerProcess(data_dir, {"gateway.loops": 1}, wrapper=disk.wrapper) as server:
        ann = await PlainLink.open(server, server.token("ann"), "phone")
        ben = await PlainLink.open(server, server.token("ben"), "phone")
        await ben.call("sync", cursor=0, limit=1)  # an answered call proves that the login is on record
        sender = Sender(ann)
        await sender.until({RequestCode.OK})
        disk.fill(server.pid)
        await sender.until({RequestCode.UNAVAILABLE})
        code, reason = server.get("/readyz")
        assert (code, b"disk" in reason) == (503, True), "not ready while sends are refused, and says why"
        assert server.get("/livez")[0] == 200

        code, page = await ben.call("history", conversation="s/ann:ben", from_seq=1, limit=50, reverse=False)
        assert (code, len(page["messages"])) == (0, 23), "what is stored stays readable"
        shown = {message.client_id: (message.seq, message.server_id) for message in ben.messages}
        assert shown == sender.stored, "shown to the receiver and acknowledged to the sender are the same"
        stored = {row.client_id: (row.seq, row.server_id) for row in log_of(disk.store(server.pid), tmp_path)}
        assert stored == sender.stored

        disk.free(server.pid)
        await sender.until({RequestCode.OK})
        await sender.again()
        assert ann.link.alive
        assert ben.link.alive
        await asyncio.to_thread(server.wait_ready)
        rows = log_of(disk.store(server.pid), tmp_path)
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert {row.client_id: (row.seq, row.server_id) for row in rows} == sender.stored
        ann.close()
        ben.close()
        assert await asyncio.to_thread(server.stop) == 0

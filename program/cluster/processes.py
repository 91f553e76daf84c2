"""Processes that outlive the command which started them, known by their pid files.

The pid file is written by the process itself before its program runs, and until then it holds the folder's
lock: no crash of the command leaves one behind that the next command does not find. A pid that another
process got meanwhile is told by its command line: those of ours name the folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

POLL_S = 0.05
WRITE_PID = 'echo $$ >"$0" && exec "$@" </dev/null'
EXEC_S = 5.0
FREEZE_S = 10.0
LINE_CHARS = 300
_WHY = re.compile(r"no space left|\bfatal\b|\bpanic\b|\berror\b|cannot start", re.IGNORECASE)

_children: list[subprocess.Popen[bytes]] = []
"""Those of this process: it is theirs to read their exit codes, or they stay as zombies."""


class Watched:
    """A process of the folder, running or not."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._folder = folder
        self._pid_file = folder / "run" / f"{name}.pid"
        self.log = folder / "log" / f"{name}.log"

    def start(self, words: Sequence[str], lock: IO[str] | None = None, group: int = 0) -> None:
        """Returns when it has its pid file; one that runs is left alone. `lock`: held until then, though the
        process that calls this may be gone. `group`: of its own, where root calls this."""
        if self.pid:
            return
        self._pid_file.unlink(missing_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("QIANWAN_")}
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-c", WRITE_PID, str(self._pid_file), *words],
                cwd=self._folder, env=clean, stdin=lock or subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
                extra_groups=[*os.getgroups(), group] if group and os.geteuid() == 0 else None,
            )  # fmt: skip
        _children.append(child)
        while not self._written() and child.poll() is None:
            time.sleep(POLL_S / 10)

    @property
    def pid(self) -> int:
        """0: it does not run."""
        pid = self._written()
        for child in _children:
            child.poll()
        return pid if pid and os.fsencode(self._folder) in _words_of(pid) else 0

    def _written(self) -> int:
        try:
            text = self._pid_file.read_text("ascii")
        except OSError:
            return 0
        return int(text) if text.strip().isdigit() else 0

    @property
    def stopped(self) -> bool:
        """By SIGSTOP."""
        return _state_of(self.pid) in ("T", "t")

    def send(self, number: int) -> None:
        if pid := self.pid:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return

    def last_words(self) -> str:
        """What its log says of an end."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 4096))
                lines = file.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return telling(lines)

    def forget(self) -> None:
        self._pid_file.unlink(missing_ok=True)


def telling(lines: Sequence[str]) -> str:
    """Of the last lines of a log the one that says why: neither a stack nor the tidying up behind it."""
    why = next((line for line in reversed(lines) if _WHY.search(line)), lines[-1] if lines else "")
    return why.strip()[:LINE_CHARS]


def _state_of(pid: int) -> str:
    """The letter of proc(5); "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _words_of(pid: int) -> bytes:
    """Its command line, which is empty while it becomes another program, and of a zombie."""
    deadline = time.monotonic() + EXEC_S
    while time.monotonic() < deadline:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""
        if words or _state_of(pid) in ("", "Z", "X"):
            return words
        time.sleep(POLL_S / 10)
    return b""


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether it came to hold in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def end(processes: Iterable[Watched], number: int, timeout_s: float) -> list[str]:
    """Ask them to end, all at once; kill those that have not in time. -> the names of these."""
    found = [each for each in processes if each.pid]
    for each in found:
        each.send(number)
        each.send(signal.SIGCONT)
    late: list[str] = []
    if not wait_until(lambda: not any(each.pid for each in found), timeout_s):
        late = [each.name for each in found if each.pid]
        kill(found)
    for each in found:
        each.forget()
    return late


def kill(processes: Iterable[Watched]) -> None:
    """kill -9, and wait until they are gone."""
    found = list(processes)
    for each in found:
        each.send(signal.SIGKILL)
    wait_until(lambda: not any(each.pid for each in found), 30.0)


def postgres_left(data: Path) -> list[int]:
    """Processes of the PostgreSQL of this folder. Those whose first one is gone end by themselves, and until
    then no other may have these data."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text() == "postgres\n" and Path(os.readlink(entry / "cwd")) == data:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def freeze_postgres(data: Path) -> bool:
    """All of them stand still when this returns True: a signal takes its time, and one may have begun."""

    def still() -> bool:
        moving = [pid for pid in postgres_left(data) if _state_of(pid) not in ("T", "t", "Z", "X", "")]
        for pid in moving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return not moving

    return wait_until(still, FREEZE_S)

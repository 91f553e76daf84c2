"""`demo` and `bench` leave nothing running behind, whatever ends them, and no folder if they can help it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server_process import ROOT

WORDS = {
    "demo": ("demo", "--messages", "1000000", "--members", "20", "--broadcasts", "5"),
    "one server": ("bench", "fanout", "--members", "50", "--seconds", "100", "--rate", "10"),
    "many": ("bench", "fanout", "--members", "50", "--gateways", "2", "--seconds", "100", "--rate", "10"),
}


@contextmanager
def running(words: tuple[str, ...], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "program", *words],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for pid in (*family(process.pid), process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()


def family(pid: int) -> list[int]:
    """Everybody below this process."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        below.setdefault(parent, []).append(int(stat.parent.name))
    found = below.get(pid, [])
    for child in found:
        found.extend(below.get(child, []))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def wait_for(condition: Callable[[], object], what: str, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("kind", WORDS)
def test_nothing_that_was_started_stays(tmp_path: Path, kind: str, number: signal.Signals) -> None:
    wanted = {"demo": "serve", "one server": "fleet.worker", "many": "fleet.worker"}[kind]
    with running(WORDS[kind], tmp_path) as process:

        def busy() -> bool:
            assert process.poll() is None, (tmp_path / "log").read_text()
            return any(wanted in words_of(pid) for pid in family(process.pid))

        wait_for(busy, "at work", 60)
        time.sleep(0.5)
        started = family(process.pid)
        assert any(" serve " in words_of(pid) for pid in started)
        process.send_signal(number)
        code = process.wait(60)
        wait_for(lambda: not any(map(alive, started)), "everybody is gone", 30)
    if number == signal.SIGTERM:
        assert code == 128 + signal.SIGTERM
        assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []

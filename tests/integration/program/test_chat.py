"""`qianwan chat`: what was said, whether it was sent, where, and what it waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server_process import ROOT, ServerProcess, free_ports, program


class Window:
    """A terminal, and what it has shown so far."""

    def __init__(self, process: subprocess.Popen[str], file: Path) -> None:
        self.process = process
        self._file = file

    @property
    def shown(self) -> str:
        return self._file.read_text()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + 30
        while words not in self.shown:
            assert time.monotonic() < deadline, f"{words!r} is not in:\n{self.shown}"
            time.sleep(0.02)


@contextmanager
def chatting(server: ServerProcess, file: Path, *words: str, url: str = "") -> Iterator[Window]:
    command = [sys.executable, "-m", "program", "chat", *words, "--url", url or server.url]
    command += ["--data-dir", str(server.data_dir)]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    with file.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out, text=True
        )
    try:
        yield Window(process, file)
    finally:
        process.kill()
        process.communicate()


def test_a_room_ticks_what_was_said_shows_its_history_and_keeps_other_talk_apart(
    server: ServerProcess, tmp_path: Path
) -> None:
    server.room("lobby", history=True)
    with chatting(server, tmp_path / "shown", "alice", "#lobby") as window:
        window.wait_for("alice talks to #lobby")
        window.say("good evening")
        window.wait_for("✓")
        window.say("/history")
        window.wait_for("alice good evening")
        server.post("/v1/messages", {"sender": "bob", "target": "u/alice", "body": {"text": "psst"}})
        window.wait_for("in s/alice:bob bob psst")
        server.post("/v1/messages", {"sender": "bob", "target": "r/lobby", "body": {"text": "hello all"}})
        window.wait_for("bob hello all")
        assert "in r/lobby" not in window.shown
        window.say("/quit")
        assert window.process.wait(60) == 0


@pytest.mark.parametrize("names", [("al ice", "bob"), ("alice", "b/ob"), ("alice", "#lob by")])
def test_a_name_that_is_none_is_refused_in_one_line(server: ServerProcess, names: tuple[str, str]) -> None:
    refused = program("chat", *names, "--url", server.url, "--data-dir", str(server.data_dir))
    assert refused.returncode == 2
    (line,) = (refused.stdout + refused.stderr).splitlines()
    assert "is no id" in line


def test_without_a_server_it_says_what_it_waits_for(server: ServerProcess, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    with chatting(server, tmp_path / "shown", "alice", "bob", url=url) as window:
        window.wait_for(f"trying {url} again and again; does a server run there (`qianwan serve`)?")
        assert "Connection refused" in window.shown


def test_a_client_program_warns_once_that_it_cannot_connect(server: ServerProcess) -> None:
    """By the logging that a program has which configured none."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    code = (
        "import asyncio, qianwan\n"
        "async def main():\n"
        "    failed = asyncio.Event(); seen = []\n"
        "    def on(change):\n"
        "        seen.append(change.state)\n"
        "        if seen.count(qianwan.State.WAITING) == 2: failed.set()\n"
        f"    client = qianwan.Client('{url}', token='x', on_state=on)\n"
        "    start = asyncio.ensure_future(client.__aenter__())\n"
        "    await failed.wait()\n"
        "    start.cancel()\n"
        "asyncio.run(main())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line for line in ran.stderr.splitlines() if "cannot connect, trying again" in line]
    assert len(lines) == 1, ran.stderr
    assert "Connection refused" in lines[0]

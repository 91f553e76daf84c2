"""`qianwan demo`: the server process, the scenes, progress and the closing table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from control.process.parent import ending_with_me, tidy_up_on_signals
from program.access import Access, NoAccess
from program.demo.audience import AudienceFailed, perform
from program.demo.away import away
from program.demo.crew import crew
from program.demo.talk import talk
from program.demo.tally import Row, account

GROUP_MESSAGES = 50
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.05
LOG = "server.log"
ROOT = Path(__file__).resolve().parents[2]


class DemoFailed(Exception):
    """The demo could not run; the text says what to look at."""


@dataclass(frozen=True)
class Server:
    """The started server: where it is, and its first API key."""

    url: str
    listen: str
    api_key: str
    pid: int


def run_demo(messages: int, members: int, broadcasts: int, keep: bool) -> int:
    """Run everything. Returns 0 when every message arrived exactly once, else 1."""
    tidy_up_on_signals()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="qianwan-demo-"))
    began = time.monotonic()
    try:
        with _server(folder) as server:
            where = f"HTTP {server.url}, clients {server.listen}"
            console.print(f"[bold]qianwan serve[/] is process {server.pid}: {where}", highlight=False)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                rows = runner.run(_scenes(console, server, messages, members, broadcasts))
                told = runner.run(_pushed(server, folder))
            shown = f"a phone that is away would show: {told}"
            console.print(shown, highlight=False, markup=False)
    except (DemoFailed, AudienceFailed, NoAccess) as error:
        console.print(f"[red]{error}[/]\n[dim]{_tail(folder)}[/]", highlight=False)
        return 1
    finally:
        if keep:
            console.print(f"data folder: {folder}", highlight=False)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    table, clean = account(rows)
    console.print(table)
    verdict = "[green]nothing lost, nothing doubled[/]" if clean else "[bold red]messages lost or doubled[/]"
    console.print(f"{verdict} in {time.monotonic() - began:.1f} s")
    return 0 if clean else 1


async def _pushed(server: Server, folder: Path) -> str:
    token = Access(server.url, server.api_key).token
    told = await away(server.url, server.api_key, token, folder / LOG)
    if len(told) < 2:
        raise DemoFailed(f"a phone that is away would show {told}, not a message and its recall")
    return ", then: ".join(told)


async def _scenes(
    console: Console, server: Server, messages: int, members: int, broadcasts: int
) -> list[Row]:
    access = Access(server.url, server.api_key)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        exchanged = progress.add_task("two users exchange messages", total=messages)
        rows = await talk(server.url, access.token, messages, lambda: progress.advance(exchanged))
        chatted = progress.add_task("a group of six chats", total=6 * GROUP_MESSAGES)
        rows += await crew(
            server.url, server.api_key, access.token, GROUP_MESSAGES, lambda: progress.advance(chatted)
        )
        bars = {
            "joined": progress.add_task("members enter the chatroom", total=members),
            "received": progress.add_task("broadcasts reach the members", total=members * broadcasts),
        }
        rows += await perform(
            server.url,
            server.api_key,
            access.token,
            members,
            broadcasts,
            lambda name, count: progress.update(bars[name], completed=count),
        )
    return rows


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[Server]:
    """A real `qianwan serve` with a data folder of its own on free ports."""
    http, listen = (f"127.0.0.1:{port}" for port in _free_ports())
    command = [sys.executable, "-m", "program", "serve", "--data-dir", str(folder)]
    command += ["--http", http, "--listen", listen, "--admin", "127.0.0.1:0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QIANWAN_")}
    # Everybody counts every message here, so no receiver is spared any: by default a chatroom drops what
    # nobody can read, and the notices of 1,000 members coming in use up that budget too.
    environment |= {"QIANWAN_IM__SERVICE__ROOM_NORMAL_PER_S": "0", "QIANWAN_PUSH__DRY_RUN": "true"}
    with (folder / LOG).open("wb") as log, (folder / "server.out").open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            env=environment,
            preexec_fn=ending_with_me(),
        )
    try:
        _wait_ready(f"http://{http}", process)
        yield Server(f"http://{http}", listen, _first_key(folder), process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"the server left with {process.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)
    raise DemoFailed(f"the server was not ready within {START_TIMEOUT_S} s")


def _first_key(folder: Path) -> str:
    from control.keys.data_folder import FIRST_KEY_FILE

    try:
        return (folder / FIRST_KEY_FILE).read_text().strip()
    except OSError as error:
        raise DemoFailed(f"the server left no API key: {error}") from None


def _free_ports() -> list[int]:
    """Two free ports below the range the kernel gives to outgoing connections."""
    found: list[int] = []
    for port in range(20000 + os.getpid() % 10000, 32000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == 2:
            return found
    raise DemoFailed("no free ports")


def _tail(folder: Path) -> str:
    log = folder / LOG
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:]) if log.exists() else ""

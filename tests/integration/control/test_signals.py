"""Signals of an operator: a lone node says goodbye at once, SIGHUP ends nothing but with its terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import qianwan

from benchmarks.ports import row_of_ports
from tests.support.nats_process import NatsProcess
from tests.support.server_process import ROOT, ServerProcess, free_ports


def client(server: ServerProcess, user: str, **more: object) -> qianwan.Client:
    return qianwan.Client(server.url, token=server.token(user), device_id="d", **more)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_lone_node_says_goodbye_to_its_clients_at_once(
    fresh: ServerProcess, number: signal.Signals
) -> None:
    fresh.start()
    async with client(fresh, "alice") as idle:
        link = idle.engine._link
        began = time.monotonic()
        assert await asyncio.to_thread(fresh.stop, number) == 0
        took = time.monotonic() - began
        assert link.leaving.done(), "it was told"
    assert took < 5, "with the 20 s of server.drain_timeout_s"
    assert "no other gateway: everybody is sent away at once" in fresh.log()


async def test_what_is_sent_while_a_lone_node_stops_is_acknowledged_once(fresh: ServerProcess) -> None:
    fresh.start()
    async with client(fresh, "alice") as alice:
        await alice.send("bob", "before")
        sends = [asyncio.create_task(alice.send("bob", f"m{n}")) for n in range(20)]
        await asyncio.sleep(0)
        stopping = asyncio.create_task(asyncio.to_thread(fresh.stop))
        await stopping
        fresh.start()
        acks = [ack.seq for ack in await asyncio.gather(*sends)]
        assert sorted(acks) == list(range(2, 22))


async def test_a_drain_to_others_says_how_far_it_is(tmp_path: Path) -> None:
    with NatsProcess(tmp_path) as nats:
        settings = {"bus.kind": "nats", "bus.nats_url": nats.url, "server.drain_timeout_s": 60}
        with ServerProcess(tmp_path / "data", settings) as server:
            async with client(server, "alice"):
                os.kill(server.pid, signal.SIGTERM)
                await asyncio.to_thread(server.wait_for, lambda: "seconds_left" in server.log(), "told")
                assert '"connections": 1' in server.log()
                assert await asyncio.to_thread(server.stop, signal.SIGINT) == 0, "a second signal"


def test_sighup_is_told_and_ends_nothing(fresh: ServerProcess) -> None:
    fresh.start()
    os.kill(fresh.pid, signal.SIGHUP)
    fresh.wait_for(lambda: '"SIGHUP"' in fresh.log(), "told")
    assert "ignored: keys are read again by themselves" in fresh.log()
    assert fresh.get("/readyz")[0] == 200


def test_sighup_ends_no_worker_and_no_supervisor(tmp_path: Path) -> None:
    with NatsProcess(tmp_path) as nats:
        bus = {"bus.kind": "nats", "bus.nats_url": nats.url}
        data = tmp_path / "data"
        with ServerProcess(data, bus | {"server.node_id": 9}, roles="im,control"):
            workers = ServerProcess(data, bus, roles="gateway", arguments=("--processes", "2"))
            workers.http_port, workers.gateway_port = free_ports(1)[0], row_of_ports(2)
            with workers:
                children = Path(f"/proc/{workers.pid}/task/{workers.pid}/children").read_text().split()
                assert len(children) == 3
                for pid in (workers.pid, *map(int, children)):
                    os.kill(pid, signal.SIGHUP)
                workers.wait_for(lambda: workers.log().count('"SIGHUP"') == 3, "told")
                assert workers.get("/readyz")[0] == 200
                assert workers.metrics()["qianwan_worker_restarts_total"] == 0


def test_a_closed_terminal_ends_what_was_started_from_it(tmp_path: Path) -> None:
    http, listen = free_ports(2)
    command = [sys.executable, "-m", "program", "serve", "--data-dir", str(tmp_path / "data")]
    command += ["--http", f"127.0.0.1:{http}", "--listen", f"127.0.0.1:{listen}", "--admin", ""]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    try:
        shown = read_until(master, lambda text: "started" in text and "qwk_" in text)
        assert "API key (shown once, only its hash is kept): qwk_" in shown
        assert not (tmp_path / "data" / "first-api-key").exists()
    finally:
        os.close(master)
    try:
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def read_until(fd: int, enough: Callable[[str], bool]) -> str:
    text = ""
    while not enough(text):
        text += os.read(fd, 65536).decode("utf-8", "replace")
    return text

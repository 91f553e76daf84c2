"""Gateway workers forked from one supervisor: one room over all, deaths, drain, sums."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import qianwan

from control.keys.server_keys import ServerKeys
from tests.support.sdk_client import take
from tests.support.worker_farm import FIRST_NODE, WorkerFarm


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[WorkerFarm]:
    made = WorkerFarm.make(tmp_path)
    try:
        made.start()
        yield made
    except BaseException:
        for process in (made.im, made.gateway):
            print(f"--- {process.roles}\n{process.tail(40)}")
        raise
    finally:
        made.stop()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def heard(room: qianwan.Room, count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(20):
        async for message in room:
            found.append(message.text)
            if len(found) == count:
                break
    return found


async def test_a_room_spans_all_workers_and_metrics_add_up(farm: WorkerFarm) -> None:
    async with farm.client("ann", 0) as ann, farm.client("ben", 1) as ben, farm.client("cho", 2) as cho:
        await asyncio.to_thread(farm.im.room, "hall")
        rooms = [await someone.join_room("hall") for someone in (ann, ben, cho)]
        for number, room in enumerate(rooms):
            await room.send(f"hello {number}")
        expected = {"hello 0", "hello 1", "hello 2"}
        for room in rooms:
            assert set(await heard(room, 3)) == expected
        await ann.send("cho", "direct")
        assert await take(cho, 1) == ["direct"]

        numbers = await asyncio.to_thread(farm.gateway.metrics)
        assert numbers["qianwan_gateway_sessions"] == 3
        assert numbers["qianwan_gateway_logins_total"] == 3
        assert numbers["qianwan_workers"] == 3
        assert numbers["qianwan_worker_restarts_total"] == 0
        assert numbers["qianwan_bus_connected"] == 1


async def test_a_killed_worker_comes_back_and_disturbs_nobody_else(farm: WorkerFarm) -> None:
    async with farm.client("ann", 0) as ann, farm.client("ben", 1) as ben, farm.client("cho", 2) as cho:
        await ann.send("ben", "before")
        assert await take(ben, 1) == ["before"]
        old = farm.kill(1)
        await ann.send("ben", "while away")
        await ann.send("cho", "undisturbed")
        assert await take(cho, 1) == ["undisturbed"]
        assert await take(ben, 1, timeout_s=30) == ["while away"]

        await asyncio.to_thread(farm.gateway.wait_ready)
        numbers = await asyncio.to_thread(farm.gateway.metrics)
        assert numbers["qianwan_workers"] == 3
        assert numbers["qianwan_worker_restarts_total"] == 1
        assert farm.pid(f"node-{FIRST_NODE + 1}") != old
        # Sessions of the other two are the ones that logged in first.
        assert numbers["qianwan_gateway_sessions"] == 3
        assert numbers["qianwan_gateway_logins_total"] == 3, "two from before, one on the new worker"


async def test_sigterm_drains_every_worker(farm: WorkerFarm) -> None:
    clients = [farm.client(f"u{number}", number % 3) for number in range(6)]
    for client in clients:
        await client.open()
    pids = [farm.pid(f"node-{FIRST_NODE + worker}") for worker in range(3)] + [farm.pid("report-http")]
    code = await asyncio.to_thread(farm.gateway.stop, signal.SIGTERM)
    assert code == 0, farm.gateway.tail()
    assert not [pid for pid in pids if alive(pid)]
    for client in clients:
        await client.close(handled=False)


def test_ctrl_c_goes_to_the_supervisor_alone_and_drains(farm: WorkerFarm) -> None:
    """A terminal sends it to a whole process group; workers that got it twice would end at once."""
    supervisor = farm.gateway.process
    assert supervisor is not None
    pids = [farm.pid(f"node-{FIRST_NODE + worker}") for worker in range(3)] + [farm.pid("report-http")]
    assert [os.getpgid(pid) for pid in pids] == pids
    assert os.getpgid(supervisor.pid) not in pids
    assert farm.gateway.stop(signal.SIGINT) == 0, farm.gateway.tail()
    signals = [
        entry for entry in map(json.loads, farm.gateway.log().splitlines()) if entry["event"] == "signal"
    ]
    assert len(signals) == 4, "the supervisor's, and one for each worker"
    assert not any(entry.get("at_once") for entry in signals)


def test_a_worker_that_crashes_while_stopping_is_told(farm: WorkerFarm) -> None:
    first, *others = [farm.pid(f"node-{FIRST_NODE + worker}") for worker in range(3)]
    supervisor = farm.gateway.process
    assert supervisor is not None
    os.kill(first, signal.SIGSTOP)
    supervisor.send_signal(signal.SIGTERM)
    farm.im.wait_for(lambda: not any(alive(pid) for pid in others), "the others gone")
    os.kill(first, signal.SIGUSR1)  # no fault that a sanitizer would report
    os.kill(first, signal.SIGCONT)
    assert supervisor.wait(60) == 128 + signal.SIGUSR1, farm.gateway.tail()
    assert "child failed while stopping" in farm.gateway.tail()


def test_a_worker_that_does_not_end_is_killed_and_named(farm: WorkerFarm) -> None:
    name = f"node-{FIRST_NODE}"
    supervisor, hanging = farm.gateway.process, farm.pid(name)
    assert supervisor is not None
    os.kill(hanging, signal.SIGSTOP)
    began = time.monotonic()
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(60) == 1, farm.gateway.tail()
    # 20 s of draining instead of the 5 here would still be within the 30 s of an orchestrator.
    assert time.monotonic() - began < 5 + 9
    assert not alive(hanging)
    lines = [json.loads(line) for line in farm.gateway.tail().splitlines()]
    assert [(line["child"], line["pid"]) for line in lines if "killed" in line["event"]] == [(name, hanging)]


async def test_workers_leave_at_once_with_their_supervisor_and_can_be_started_again(farm: WorkerFarm) -> None:
    """Although clients are there, who would be waited for in a drain."""
    async with farm.client("ann", 0) as ann:
        pids = [farm.pid(f"node-{FIRST_NODE + worker}") for worker in range(3)]
        began = time.monotonic()
        farm.gateway.kill()
        await asyncio.to_thread(farm.im.wait_for, lambda: not any(map(alive, pids)), "workers gone")
        assert time.monotonic() - began < 4, "a drain would take 5"
        await asyncio.to_thread(farm.gateway.start)
        await ann.send("ben", "back")


def test_a_taken_port_is_told_at_the_start(tmp_path: Path) -> None:
    made = WorkerFarm.make(tmp_path)
    made.nats.start()
    ServerKeys.load_or_create(made.gateway.data_dir / "keys", int(time.time()))
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", made.gateway.gateway_port + 1))
            taken.listen()
            made.gateway.start(wait=False)
            process = made.gateway.process
            assert process is not None
            assert process.wait(60) == 3
        assert "cannot start" in made.gateway.log()
        assert os.strerror(98) in made.gateway.log()
    finally:
        made.nats.kill()

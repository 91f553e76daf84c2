"""SIGTERM: everybody is told, what is under way is finished, the process ends, nobody misses anything."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest
from qianwan import Backoff, State

from tests.support.chat_ledger import Ledger, judge_log, read_store
from tests.support.chat_world import Talkers
from tests.support.server_process import ServerProcess

CLIENTS = 1000
TALKING = 40  # of them, in pairs, all the time
SENDS = 60
DRAIN_S = 3.0
PATIENT = Backoff(
    base_s=1.0, cap_s=4.0, settled_s=1.0
)  # a thousand eager ones would keep the server from starting
BOUND_S = DRAIN_S + 2.0 + 5.0  # drain, closing, and what a loaded machine needs on top


@pytest.mark.slow
async def test_a_thousand_clients_survive_a_restart(tmp_path: Path) -> None:
    users = [f"user{number:04}" for number in range(CLIENTS)]
    ledger = Ledger()
    settings = {"gateway.loops": 2, "server.drain_timeout_s": DRAIN_S, "server.drain_spread_s": 1.0}
    with ServerProcess(tmp_path / "data", settings) as server:
        async with Talkers(server, users, ledger, backoff=PATIENT) as talkers:
            first_links = [talker.client.engine._link for talker in talkers]
            talking = [
                asyncio.create_task(talker.talk([f"u/{users[number ^ 1]}"] * SENDS, 4))
                for number, talker in enumerate(talkers[:TALKING])
            ]
            await ledger.until_acked(TALKING * SENDS // 3)
            began = time.monotonic()
            code = await asyncio.to_thread(server.stop, signal.SIGTERM)
            took = time.monotonic() - began
            told = sum(link.leaving.done() for link in first_links)
            server.start(wait=False)
            await asyncio.to_thread(server.wait_ready)
            await asyncio.gather(*talking)
            # A word to each of the silent ones as well, so that all of them prove to be back.
            for number, talker in enumerate(talkers[:TALKING]):
                await talker.talk([f"u/{user}" for user in users[TALKING + number :: TALKING]], 8)
            log = read_store(server.data_dir)
            members = {name: set(name[2:].split(":")) for name in log}
            listeners = {talker.name: talker.user for talker in talkers}
            wanted = dict.fromkeys(users[TALKING:], 1) | dict.fromkeys(users[:TALKING], SENDS)
            await ledger.until_seen(wanted, timeout_s=40)
            complaints = ledger.judge_arrivals(log, listeners, members)
            online = sum(talker.client.state is State.ONLINE for talker in talkers)
    assert code == 0
    assert told == CLIENTS
    assert took <= BOUND_S
    assert online == CLIENTS
    assert len(ledger.acks) == TALKING * SENDS + CLIENTS - TALKING
    assert complaints + ledger.judge_acks(log) + ledger.judge_streams() + judge_log(log) == []

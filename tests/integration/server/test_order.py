"""Every device sees a conversation in the same order, and a sender's messages as they were sent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from qianwan import Client

from tests.support.chat_ledger import Ledger, judge_log, read_store
from tests.support.chat_world import SUITES, Talker, Talkers, root_of
from tests.support.server_process import ServerProcess

DEVICES = 8
FRIENDS = [f"friend{n}" for n in range(6)]
SENDS = 60
OUTSTANDING = 1000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("order"), {"gateway.loops": 2}) as running:
        yield running


async def test_eight_devices_of_one_user_see_the_same_order(server: ServerProcess) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ledger = Ledger()
    host, port = server.gateway
    root, token = root_of(server), server.token("hub")
    devices = [
        Talker(
            Client(
                f"{('tcp', 'ws')[n % 2]}://{host}:{port}",
                token=token,
                root_key=root,
                device_id=f"device{n}",
                suite=SUITES[n % len(SUITES)],
            ),
            "hub",
            ledger,
            f"device{n}",
        )
        for n in range(DEVICES)
    ]
    async with Talkers(server, FRIENDS, ledger) as friends:
        for device in devices:
            await device.open()
        async with asyncio.TaskGroup() as group:
            for friend in friends:
                group.create_task(friend.talk(["u/hub"] * SENDS, rng.choice([1, 5, 20])))
            for device in devices:
                group.create_task(device.talk([f"u/{rng.choice(FRIENDS)}" for _ in range(SENDS)], 10))
        everybody = {talker.name: talker.user for talker in [*friends, *devices]}
        log = {name: rows for name, rows in read_store(server.data_dir).items() if "hub" in name}
        members = {name: set(name[2:].split(":")) for name in log}
        wanted = {device.name: SENDS * (len(FRIENDS) + DEVICES - 1) for device in devices}
        await ledger.until_seen(wanted, timeout_s=30)
        await ledger.until_seen({f.user: len(log[f"s/{f.user}:hub"]) - SENDS for f in friends}, timeout_s=30)
        complaints = ledger.judge_arrivals(log, everybody, members)
        for device in devices:
            await device.close()
    assert sum(map(len, log.values())) == SENDS * (len(FRIENDS) + DEVICES)
    assert complaints + ledger.judge_streams() + ledger.judge_acks(log) == []


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
async def test_a_thousand_outstanding_messages_keep_their_order(server: ServerProcess, scheme: str) -> None:
    ledger = Ledger()
    names = [f"{scheme}-{who}" for who in ("sender", "left", "right")]
    host, port = server.gateway
    sender = Talker(
        Client(
            f"{scheme}://{host}:{port}",
            token=server.token(names[0]),
            root_key=root_of(server),
            max_pending=OUTSTANDING,
        ),
        names[0],
        ledger,
    )
    async with Talkers(server, names[1:], ledger):
        await sender.open()
        rng = random.Random(scheme)
        targets = [f"u/{rng.choice(names[1:])}" for _ in range(OUTSTANDING)]
        async with asyncio.TaskGroup() as group:
            for target in targets:
                group.create_task(sender.say(target))
            await asyncio.sleep(0)  # every task has handed its message over now
            assert len(sender.client.engine.outbox) == OUTSTANDING
        log = {name: rows for name, rows in read_store(server.data_dir).items() if names[0] in name}
        await ledger.until_seen({name: targets.count(f"u/{name}") for name in names[1:]}, timeout_s=30)
        members = {name: set(name[2:].split(":")) for name in log}
        complaints = ledger.judge_arrivals(log, {name: name for name in names}, members)
        await sender.close()
    assert complaints + judge_log(log) + ledger.judge_acks(log) + ledger.judge_streams() == []
    for name in names[1:]:
        numbers = [
            int(row.client_id.rpartition("-")[2])
            for row in log[f"s/{min(name, names[0])}:{max(name, names[0])}"]
        ]
        assert numbers == [n for n, target in enumerate(targets, 1) if target == f"u/{name}"]

"""kill -9 at any moment: what was acknowledged is there, once, in order, and everybody gets to see it."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from qianwan import Client

from tests.support.chat_ledger import Ledger, Log, judge_log, read_store
from tests.support.chat_world import Talkers, read_history, root_of
from tests.support.server_process import ServerProcess

USERS = [f"user{number:02}" for number in range(50)]
SENDS = int(os.environ.get("QIANWAN_TEST_SENDS", "160"))  # of each: 8,000 together
GROUP, GROUP_MEMBERS, GROUP_SENDS = "crew", USERS[:10], 40
KILLS = 4


def peer_of(number: int) -> str:
    return USERS[number ^ 1]


def conversations() -> dict[str, set[str]]:
    singles = {f"s/{a}:{b}": {a, b} for a, b in zip(USERS[::2], USERS[1::2], strict=True)}
    return singles | {f"g/{GROUP}": set(GROUP_MEMBERS)}


def targets(number: int, rng: random.Random) -> list[str]:
    """Whom one talker addresses, message by message."""
    grouped = GROUP_SENDS if USERS[number] in GROUP_MEMBERS else 0
    found = [f"g/{GROUP}"] * grouped + [f"u/{peer_of(number)}"] * (SENDS - grouped)
    rng.shuffle(found)
    return found


async def kill_often(server: ServerProcess, ledger: Ledger, rng: random.Random) -> None:
    """Kill at random counts of acks, and now and then again while the server is still starting."""
    total = len(USERS) * SENDS
    for count in sorted(rng.sample(range(total // 20, total * 9 // 10), KILLS)):
        await ledger.until_acked(count)
        await asyncio.sleep(rng.uniform(0, 0.05))
        assert len(ledger.acks) < total, "killed too late to matter"
        server.kill()
        if rng.random() < 0.5:
            server.start(wait=False)
            await asyncio.sleep(rng.uniform(0, 1.5))
            server.kill()
        await asyncio.to_thread(server.start)


async def audit(server: ServerProcess, token: str, conversation: str) -> tuple[str, Log]:
    """What a device that never was here before reads."""
    host, port = server.gateway
    async with Client(
        f"{host}:{port}", token=token, root_key=root_of(server), device_id=f"auditor-{conversation[0]}"
    ) as client:
        return conversation, {conversation: await read_history(client, conversation)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20260, 7, 919] if "QIANWAN_TEST_SENDS" in os.environ else [20260, 7])
async def test_no_acked_message_is_lost_doubled_or_moved(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    ledger = Ledger()
    with ServerProcess(tmp_path / "data", {"gateway.loops": 2, "im.service.group_consent": "free"}) as server:
        tokens = {user: server.token(user) for user in USERS}
        async with Talkers(server, USERS, ledger) as talkers:
            await talkers[0].client.call(
                "group.create", {"group": GROUP, "members": GROUP_MEMBERS[1:], "name": "crew"}
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(kill_often(server, ledger, rng))
                for number, talker in enumerate(talkers):
                    group.create_task(talker.talk(targets(number, rng), window=rng.choice([1, 4, 16, 64])))

            log = read_store(server.data_dir)
            listeners = {talker.name: talker.user for talker in talkers}
            wanted = {
                name: sum(
                    len([row for row in log[talk] if row.client_id not in ledger.own[name]])
                    for talk, users in conversations().items()
                    if user in users
                )
                for name, user in listeners.items()
            }
            await ledger.until_seen(wanted, timeout_s=30)
            complaints = ledger.judge_arrivals(log, listeners, conversations()) + ledger.judge_streams()

        assert len(ledger.acks) == len(USERS) * SENDS
        assert set(log) == set(conversations())
        reads = [audit(server, tokens[min(users)], name) for name, users in conversations().items()]
        for name, shown in await asyncio.gather(*reads):
            assert shown[name] == log[name]
    assert complaints + ledger.judge_acks(log) + judge_log(log) == []

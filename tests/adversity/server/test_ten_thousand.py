"""Ten thousand clients at work on one process, while everything there is gets thrown at its port."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.abuse_kinds import PATIENT, QUICK, commit, counted, read_nothing, until_counted
from tests.support.abuse_peer import Target
from tests.support.chat_ledger import Ledger, read_store
from tests.support.chat_world import Talkers
from tests.support.server_process import ServerProcess
from tests.support.swarm_fleet import judge, pairs_fleet, talk

FLEETS = {"aegis": 3, "chacha": 1}  # name -> suite
MEMBERS = 5000  # of each
RATE = 200.0  # messages a second of each; an instrumented build on a busy machine queues too much of 500
SECONDS = 10.0
AUTH_TIMEOUT_S = 3
PATIENCE_S = 60.0  # far above any deadline, for a machine that is busy
SLOW_READERS = 5
CORE = {
    "auth_timeout_s": AUTH_TIMEOUT_S,
    "ip_accepts_per_s": 0,  # the whole crowd comes from one address
    "queue_hard_bytes": 131_072,
    "queue_event_bytes": 98_304,
    "send_buffer": 16_384,
}


async def harass(
    server: ServerProcess, target: Target, rng: random.Random, done: asyncio.Event
) -> Counter[str]:
    """Every abuse there is, again and again until `done`; how often each reason must have been counted."""
    abuses = QUICK * 3 + PATIENT * 10
    # A user each: more than ten devices of one user would kick each other before they misbehave.
    tokens = [await asyncio.to_thread(server.token, f"mallory{n}") for n in range(len(abuses))]
    wanted: Counter[str] = Counter()
    while not done.is_set():
        source = f"127.0.0.{rng.randrange(20, 250)}"
        verdicts = await asyncio.gather(
            *(
                commit(abuse, target, rng, source=source, token=token, patience_s=PATIENCE_S)
                for abuse, token in zip(abuses, tokens, strict=True)
            )
        )
        assert [verdict for verdict in verdicts if verdict] == []
        wanted.update(abuse.reason for abuse in abuses)
    return wanted


async def flood_slow_readers(
    server: ServerProcess, target: Target, ledger: Ledger, rng: random.Random
) -> None:
    """Devices stop reading while their user is written to; another device of that user gets it all."""
    reasons = {"slow_consumer": SLOW_READERS}
    before = await asyncio.to_thread(counted, server, reasons)
    async with Talkers(server, ["loud", "slow"], ledger) as (loud, slow):
        token = server.token("slow")
        lazy = [await read_nothing(target, token, f"lazy{n}", "127.0.0.9") for n in range(SLOW_READERS)]
        while (await asyncio.to_thread(counted, server, reasons))["slow_consumer"] < SLOW_READERS + before[
            "slow_consumer"
        ]:
            for _ in range(10):
                await loud.say("u/slow", rng.randbytes(2400).hex())
        for peer in lazy:
            assert await peer.end(PATIENCE_S)
            await peer.close()
        await ledger.until_seen({slow.name: loud.said}, timeout_s=30)


@pytest.mark.slow
async def test_ten_thousand_clients_are_not_disturbed(tmp_path: Path) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ledger = Ledger()
    with ExitStack() as stack:
        server = stack.enter_context(
            ServerProcess(
                tmp_path / "data", {"gateway.loops": 2, "gateway.core": CORE, "log.level": "warning"}
            )
        )
        fleets = [stack.enter_context(pairs_fleet(server, MEMBERS, suite, n)) for n, suite in FLEETS.items()]
        await asyncio.gather(*(asyncio.to_thread(fleet.connect) for fleet in fleets))
        assert server.metrics()["qianwan_gateway_sessions"] == len(FLEETS) * MEMBERS

        target = Target.of(server)
        before = await asyncio.to_thread(counted, server, {abuse.reason for abuse in QUICK + PATIENT})
        done = asyncio.Event()
        bad = asyncio.create_task(harass(server, target, rng, done))
        slow = asyncio.create_task(flood_slow_readers(server, target, ledger, rng))
        measured = await asyncio.gather(*(asyncio.to_thread(talk, fleet, RATE, SECONDS) for fleet in fleets))
        done.set()
        wanted = await bad
        await slow
        await asyncio.to_thread(until_counted, server, before, wanted)

        metrics = server.metrics()
        print({name: int(value) for name, value in metrics.items() if "closed_total" in name})
        assert metrics["qianwan_gateway_sessions"] == len(FLEETS) * MEMBERS
        log = read_store(server.data_dir)
    assert [judge(result) for result in measured] == [[], []]
    assert ledger.judge_streams() + ledger.judge_acks({"s/loud:slow": log["s/loud:slow"]}) == []
    assert ledger.seen["slow"]["s/loud:slow"] == log.pop("s/loud:slow")
    assert sum(map(len, log.values())) == sum(result.sent for result in measured)
    assert [
        name for name, rows in log.items() if [row.seq for row in rows] != [*range(1, len(rows) + 1)]
    ] == []

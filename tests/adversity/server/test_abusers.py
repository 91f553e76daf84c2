"""Each kind of misuse by itself: ended in time, counted under its reason, felt by nobody else."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from tests.support.abuse_kinds import PATIENT, QUICK, Abuse, commit, counted, read_nothing, until_counted
from tests.support.abuse_peer import RawPeer, Target
from tests.support.chat_ledger import Ledger, judge_log, read_store
from tests.support.chat_world import Talker, Talkers
from tests.support.server_process import ServerProcess

AUTH_TIMEOUT_S = 6  # a hundred handshakes in plain Python at once take a second or two
PATIENCE_S = 20.0  # far above any deadline: what is open then was never going to be closed
LIMITS = {
    "auth_timeout_s": AUTH_TIMEOUT_S,
    "queue_hard_bytes": 131_072,
    "queue_event_bytes": 98_304,
    "send_buffer": 16_384,
    "ip_connections": 100,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path_factory.mktemp("abused"), {"gateway.loops": 2, "gateway.core": LIMITS}
    ) as running:
        yield running


async def chat(talkers: list[Talker], count: int) -> None:
    """Both say `count` messages to each other while something else is going on."""
    a, b = talkers
    await asyncio.gather(a.talk([f"u/{b.user}"] * count, 8), b.talk([f"u/{a.user}"] * count, 8))


async def misuse(server: ServerProcess, abuses: Sequence[Abuse], times: int, rng: random.Random) -> list[str]:
    """All of them `times` over, at once; the complaints of those that were not ended."""
    target = Target.of(server)
    # A user each: more than ten devices of one user would kick each other before they misbehave.
    deeds = [(abuse, server.token(f"mallory{n}")) for n, abuse in enumerate([*abuses] * times)]
    sources = [f"127.0.0.{rng.randrange(20, 250)}" for _ in deeds]
    work = [
        commit(abuse, target, rng, source=source, token=token, patience_s=PATIENCE_S)
        for (abuse, token), source in zip(deeds, sources, strict=True)
    ]
    return [complaint for complaint in await asyncio.gather(*work) if complaint]


@pytest.mark.parametrize(("abuses", "times"), [(QUICK, 5), (PATIENT, 5)], ids=["loud", "silent"])
async def test_every_abuse_is_ended_and_counted_and_harms_nobody(
    server: ServerProcess, abuses: tuple[Abuse, ...], times: int
) -> None:
    seed = random.getrandbits(32)
    print(f"seed {seed}")
    wanted = Counter(abuse.reason for abuse in abuses for _ in range(times))
    before = counted(server, wanted)
    ledger = Ledger()
    users = [f"alice{seed}", f"bob{seed}"]
    async with Talkers(server, users, ledger) as talkers:
        links = [talker.client.engine.change for talker in talkers]
        complaints, _ = await asyncio.gather(
            misuse(server, abuses, times, random.Random(seed)), chat(talkers, 300)
        )
        assert complaints == []
        await ledger.until_seen({talker.name: 300 for talker in talkers}, timeout_s=30)
        assert [talker.client.engine.change for talker in talkers] == links, "a bystander reconnected"
    until_counted(server, before, wanted)
    log = {name: rows for name, rows in read_store(server.data_dir).items() if users[0] in name}
    assert ledger.judge_acks(log) + judge_log(log) + ledger.judge_streams() == []
    assert [len(rows) for rows in log.values()] == [600]


async def test_a_slow_reader_is_closed_and_its_other_device_misses_nothing(server: ServerProcess) -> None:
    rng = random.Random(4)
    reasons = {"slow_consumer": 1}
    before = counted(server, reasons)
    ledger = Ledger()
    async with Talkers(server, ["loud", "slow"], ledger) as (loud, slow):
        lazy = await read_nothing(Target.of(server), server.token("slow"), "lazy", "127.0.0.9")
        async with lazy:
            while counted(server, reasons) == before:
                for _ in range(10):
                    await loud.say("u/slow", rng.randbytes(2400).hex())
            assert await lazy.end(PATIENCE_S)
        await ledger.until_seen({slow.name: loud.said}, timeout_s=30)
    log = {"s/loud:slow": read_store(server.data_dir)["s/loud:slow"]}
    assert ledger.judge_acks(log) + judge_log(log) + ledger.judge_streams() == []
    assert ledger.seen["slow"]["s/loud:slow"] == log["s/loud:slow"]


async def test_one_address_cannot_take_all_connections(server: ServerProcess) -> None:
    target = Target.of(server)
    refused = "qianwan_gateway_refused_ip_connections_total"
    before = server.metrics()[refused]
    crowd = [await RawPeer.connect(target, "127.0.0.19") for _ in range(LIMITS["ip_connections"] + 10)]
    server.wait_for(lambda: server.metrics()[refused] == before + 10, "refusing the tenth above the limit")
    async with await RawPeer.connect(target, "127.0.0.18") as other:
        await other.handshake()
        await other.login(server.token("elsewhere"), "d")
    for peer in crowd:
        await peer.close()

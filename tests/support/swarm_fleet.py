"""Thousands of clients in C (benchmarks/loadgen) on a ServerProcess, and what to make of their counts."""

from __future__ import annotations

import time

from benchmarks.loadgen.fleet import Fleet, Load, Measured, Shape
from control.keys.server_keys import ServerKeys
from tests.support.chat_world import token_mint
from tests.support.server_process import ServerProcess


def pairs_fleet(server: ServerProcess, members: int, suite: int, prefix: str) -> Fleet:
    """One process of clients `<prefix>0`, `<prefix>1` ...; every even one sends to the next."""
    key = ServerKeys.load(server.data_dir / "keys").current(int(time.time()))
    shape = Shape(
        gateways=[server.gateway],
        members=members,
        pair=True,
        suite=suite,
        key_id=key.key_id,
        server_key=key.public,
        ping_s=2,
        mint=token_mint(server),
        user_prefix=prefix,
        processes=1,
    )
    return Fleet(shape)


def talk(fleet: Fleet, rate: float, seconds: float) -> Measured:
    """`rate` messages a second in all, then wait until nothing is under way any more."""
    return fleet.measure(Load(rate=rate, seconds=seconds, warm_up_s=0.5, drain_s=60.0))


def judge(measured: Measured) -> list[str]:
    """Nothing lost, doubled, moved, damaged, refused; nobody closed; every message acknowledged."""
    complaints = [
        f"{what}: {count}"
        for what, count in (
            ("lost", measured.lost),
            ("doubled", measured.duplicated),
            ("out of order", measured.reordered),
            ("foreign", measured.foreign),
            ("refused", measured.refused),
            ("closed", measured.closed),
            ("not acknowledged", measured.sent - measured.counters["acked"]),
        )
        if count
    ]
    return complaints if measured.sent else ["nothing was sent"]

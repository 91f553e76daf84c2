"""The ladder in a whole server: its steps are told, and what they leave undone is left undone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import qianwan

from tests.support.server_process import ServerProcess

SMALL = {"gateway.overload.memory_bytes": 1 << 20, "gateway.overload.rise_s": 0}


@pytest.fixture
def server(tmp_path: Path) -> ServerProcess:
    return ServerProcess(tmp_path / "data", SMALL)


def step(server: ServerProcess) -> float:
    return server.metrics()["qianwan_overload_step"]


async def test_newcomers_wait_outside_while_memory_is_short(server: ServerProcess) -> None:
    server.settings = SMALL | {"gateway.overload.memory_share": [0, 0, 1, 0, 0]}
    with server:
        await asyncio.to_thread(server.wait_for, lambda: step(server) == 3, "known only")
        assert server.metrics()["qianwan_admission_door"] == 1
        assert server.metrics()['qianwan_overload_steps_total{step="known only"}'] == 1
        told: list[Exception | None] = []
        opening = asyncio.ensure_future(
            qianwan.Client(
                server.url,
                token=server.token("ann"),
                device_id="d",
                on_state=lambda change: told.append(change.reason),
            ).open()
        )
        await asyncio.to_thread(
            server.wait_for, lambda: server.metrics()["qianwan_gateway_deferred_new_total"] >= 1, "refused"
        )
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert any(isinstance(reason, qianwan.HandshakeRejected) for reason in told)


async def test_the_idle_are_asked_to_go_when_there_is_no_memory_left(server: ServerProcess) -> None:
    server.settings = SMALL | {"gateway.overload.memory_share": [0, 0, 0, 0, 1]}
    with server:
        await asyncio.to_thread(server.wait_for, lambda: step(server) == 5, "idle sent elsewhere")
        assert server.metrics()["qianwan_moves_evicted_total"] == 0, "nobody has been idle for long"

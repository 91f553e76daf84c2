"""Every test gets its own gateway; when the test ends, nothing of it may be alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.gateway_harness import GatewayHarness


@pytest.fixture(params=["send", "io_uring"])
def sender(request: pytest.FixtureRequest) -> str:
    """Both ways to the kernel keep the same promises; where io_uring is forbidden, the core uses send()."""
    return str(request.param)


@pytest.fixture
def start_gateway(sender: str) -> Iterator[Callable[..., GatewayHarness]]:
    """start_gateway(**config) -> a running harness; stopped and checked for leaks at the end."""
    started: list[GatewayHarness] = []

    def start(**settings: Any) -> GatewayHarness:
        settings.setdefault("sender", sender)
        harness = GatewayHarness(**settings).start()
        started.append(harness)
        return harness

    yield start
    for harness in started:
        harness.stop()


@pytest.fixture
def gateway(start_gateway: Callable[..., GatewayHarness]) -> GatewayHarness:
    return start_gateway(loops=2)

"""A real server for the SDK."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server_process import ServerProcess

# Rooms without a budget: these tests count every message, and above a budget dropping would be right.
SETTINGS = {
    "im.service.room_normal_per_s": 0,
    "server.drain_timeout_s": 5,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("sdk"), SETTINGS) as running:
        yield running

"""The first start: whatever goes wrong with it, the next one is as good as the first."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.server_process import ServerFailed, ServerProcess, free_ports


@pytest.mark.parametrize("taken", ["http_port", "gateway_port"])
def test_a_failed_first_start_does_not_use_up_the_api_key(tmp_path: Path, taken: str) -> None:
    http_port, gateway_port = free_ports(2)
    server = ServerProcess(
        tmp_path / "data", {"gateway.loops": 1}, http_port=http_port, gateway_port=gateway_port
    )
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", getattr(server, taken)))
        occupant.listen()
        with pytest.raises(ServerFailed, match="left with"):
            server.start()
    with server:
        assert server.token("ann"), "the key shown by the second start is good"

"""A balancer whose header cannot be taken is told from the log, not from connections that vanish."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 7801\r\nQW"


@pytest.mark.parametrize("said", [V1, b"QW"], ids=["v1", "none"])
def test_a_header_of_version_1_or_none_is_one_line_in_the_log(tmp_path: Path, said: bytes) -> None:
    settings = {"gateway.proxy_from": ["127.0.0.1"], "gateway.loops": 1}
    with ServerProcess(tmp_path / "data", settings) as server:
        for _ in range(3):
            with socket.create_connection(server.gateway, 10) as client:
                client.sendall(said)
                client.settimeout(10)
                assert client.recv(1) == b"", "closed without a word"
        line = "a balancer in gateway.proxy_from sends no PROXY v2 header (v1 is refused too)"
        server.wait_for(lambda: line in server.log(), "told")
        assert server.metrics()['qianwan_gateway_closed_total{reason="proxy_missing"}'] == 3
        assert server.log().count(line) == 1

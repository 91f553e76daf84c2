"""A gateway and an LBS that have IPv6 addresses alone: told, signed and reached as such."""

from __future__ import annotations

from pathlib import Path

import pytest
from qianwan import Client

from tests.support.server_process import ServerProcess, free_ports


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_a_client_finds_its_gateway_over_ipv6(tmp_path: Path, transport: str) -> None:
    client_port, lbs_port = free_ports(2)
    with ServerProcess(
        tmp_path / "data",
        settings={"control.lbs.http": f"[::1]:{lbs_port}"},
        arguments=("--listen", f"[::1]:{client_port}"),
    ) as server:
        url, token = f"http://[::1]:{lbs_port}", server.token("alice")
        async with Client(url, token=token, transport=transport) as me:
            assert (await me.send("bob", "hello")).seq == 1

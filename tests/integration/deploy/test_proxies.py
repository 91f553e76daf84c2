"""The examples for proxies: nginx and haproxy as deploy/ configures them, between servers and clients."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import qianwan

from control.keys.server_keys import ServerKeys
from frame.constants import CloseCode, FrameType
from tests.support.deployment import certificate, example, installed, running
from tests.support.gateway_client import WireClient, auth_body
from tests.support.server_process import ServerProcess, free_ports

QUIET_S = 6.0


async def says_hello(client: qianwan.Client, peer: str) -> None:
    async with client, asyncio.timeout(20):
        assert (await client.send(peer, "hello")).seq >= 1


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    return certificate(tmp_path)


@pytest.fixture
def nginx(tmp_path: Path, tls: tuple[Path, ssl.SSLContext]) -> Iterator[tuple[ServerProcess, int]]:
    """(a node, the port of the nginx before it), with seconds of `proxy_read_timeout` for nginx's minute."""
    http, listen, front = free_ports(3)
    site = example(
        "nginx.conf",
        {
            "listen 443 ssl": f"listen 127.0.0.1:{front} ssl",
            "chat.example.com;": "127.0.0.1;",
            "/etc/ssl/chat.example.com.pem": str(tls[0]),
            "/etc/ssl/chat.example.com.key": str(tls[0]),
            "http://127.0.0.1:7801": f"http://127.0.0.1:{listen}",
            "http://127.0.0.1:7800": f"http://127.0.0.1:{http}",
        },
    )
    config = tmp_path / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; proxy_read_timeout {QUIET_S:.0f}s; {temporary}\n{site}}}\n"
    )
    settings = {
        "gateway.advertise_wss": f"127.0.0.1:{front}",
        "gateway.ws_ping_interval_s": 5,
        "gateway.core": {"ip_connections": 0, "ip_accepts_per_s": 0},
    }
    words = [installed("nginx"), "-c", str(config), "-p", str(tmp_path), "-e", "stderr"]
    with (
        ServerProcess(tmp_path / "data", settings, http_port=http, gateway_port=listen) as server,
        running(words, front, tmp_path),
    ):
        yield server, front


async def test_browsers_talk_through_nginx_and_stay_while_they_are_idle(
    nginx: tuple[ServerProcess, int], tls: tuple[Path, ssl.SSLContext]
) -> None:
    server, front = nginx
    states: list[qianwan.State] = []
    client = qianwan.Client(
        f"https://127.0.0.1:{front}",
        token=server.token("alice"),
        device_id="browser",
        transport="ws",
        tls=tls[1],
        on_state=lambda change: states.append(change.state),
    )
    async with client as alice, asyncio.timeout(60):
        await alice.send("bob", "hello")
        assert states == [qianwan.State.CONNECTING, qianwan.State.ONLINE]
        await asyncio.sleep(2 * QUIET_S)
        assert (await alice.send("bob", "still here")).seq == 2
        assert states == [qianwan.State.CONNECTING, qianwan.State.ONLINE], "never cut by nginx"


async def test_nginx_shows_lbs_and_nothing_else_of_the_api(
    nginx: tuple[ServerProcess, int], tls: tuple[Path, ssl.SSLContext]
) -> None:
    server, front = nginx
    async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{front}", verify=tls[1]) as http:
        told = (await http.get("/v1/lbs?transport=ws")).json()["gateways"]
        assert [(one["host"], one["port"], one["transport"]) for one in told] == [("127.0.0.1", front, "wss")]
        for path in ("/metrics", "/readyz", "/v1/docs", "/v1/tokens"):
            assert (await http.get(path)).status_code == 404
    assert server.get("/readyz")[0] == 200


async def test_clients_keep_their_address_behind_haproxy_natively_and_over_tls(
    tmp_path: Path, tls: tuple[Path, ssl.SSLContext]
) -> None:
    http, listen, native, wss = free_ports(4)
    config = tmp_path / "haproxy.cfg"
    changes = {
        "bind :7801": f"bind 127.0.0.1:{native}",
        "bind :443 ssl crt /etc/ssl/chat.example.com.pem": f"bind 127.0.0.1:{wss} ssl crt {tls[0]}",
        "node-1 127.0.0.1:7801": f"node-1 127.0.0.1:{listen}",
        "check port 7800 inter 2s": f"check port {http} inter 200ms",
        "maxconn 100000": "maxconn 1000",
    }
    config.write_text(example("haproxy.cfg", changes))
    settings = {
        "gateway.advertise": f"127.0.0.1:{native}",
        "gateway.advertise_wss": f"127.0.0.1:{wss}",
        "gateway.proxy_from": ["127.0.0.1"],
    }
    program = installed("haproxy")
    check = [program, "-c", "-f", str(config)]
    await asyncio.to_thread(subprocess.run, check, check=True, capture_output=True)
    data = tmp_path / "data"
    with (
        ServerProcess(data, settings, http_port=http, gateway_port=listen) as server,
        running([program, "-db", "-f", str(config)], native, tmp_path),
    ):
        for transport in ("tcp", "ws"):
            client = qianwan.Client(
                server.url,
                token=server.token(f"alice-{transport}"),
                device_id="d",
                transport=transport,
                tls=tls[1],
            )
            await says_hello(client, "bob")
        await asyncio.to_thread(refused_by_address, server, native)


def refused_by_address(server: ServerProcess, port: int) -> None:
    """The log names who was refused by the address that they have before the balancer."""
    now = int(time.time())
    key = ServerKeys.load(server.data_dir / "keys").current(now)
    client = WireClient(port, key.public, key_id=key.key_id).handshake()
    client.frame(FrameType.AUTH, auth_body(b"no token"))
    assert client.close_code() == CloseCode.AUTH_FAILED
    host, own_port = client.sock.getsockname()
    server.wait_for(lambda: f'"peer": "{host}:{own_port}"' in server.log(), "logged")

"""`qianwan serve` as a process: start, health, drain, a second signal, kill -9, and settings that cannot
work.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request

import pytest
import qianwan

from tests.support.abuse_peer import Target
from tests.support.policy_phones import Phone
from tests.support.server_process import ROOT, ServerFailed, ServerProcess


async def text_of(client: qianwan.Client, count: int) -> list[str]:
    """The next `count` texts this client gets."""
    found = []
    async with asyncio.timeout(20):
        async for message in client.messages():
            found.append(message.text)
            if len(found) == count:
                break
    return found


def client(server: ServerProcess, user: str, device: str = "d1", **more: object) -> qianwan.Client:
    return qianwan.Client(server.url, token=server.token(user), device_id=device, **more)


def test_health_tells_states_apart(server: ServerProcess) -> None:
    for path in ("/livez", "/startupz", "/readyz"):
        status, body = server.get(path)
        assert status == 200, (path, body)
    assert b'"store":"ok"' in server.get("/readyz")[1]


def test_the_first_start_makes_private_files(server: ServerProcess) -> None:
    keys = server.data_dir / "keys"
    assert {path.name.split("-")[0] for path in keys.iterdir()} >= {"root.json", "server", "token", "api"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in keys.iterdir())


def test_the_first_api_key_is_in_a_private_file_and_in_no_log(server: ServerProcess) -> None:
    key = server.data_dir / "first-api-key"
    assert server.out_file.read_text().splitlines() == [
        f"API key: in {key} (keep it elsewhere, remove the file: its hash is enough here)"
    ]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().startswith("qwk_")
    assert "qwk_" not in server.log(), "keys never reach the log"


def test_a_gateway_that_listens_everywhere_is_told_by_the_name_its_client_used(fresh: ServerProcess) -> None:
    fresh.arguments = ("--listen", f"0.0.0.0:{fresh.gateway_port}")
    fresh.start()

    def told(host: str) -> str:
        request = urllib.request.Request(f"{fresh.url}/v1/lbs", headers={"Host": host})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(json.load(answer)["gateways"][0]["host"])

    assert told("chat.example.com:7800") == "chat.example.com"
    assert told("[::1]:7800") == "::1"
    assert told("nonsense<b>") == "127.0.0.1", "where the request came in"
    asyncio.run(_says_hello(fresh))


async def _says_hello(server: ServerProcess) -> None:
    async with client(server, "alice") as alice:
        assert (await alice.send("bob", "hello")).seq == 1


async def test_two_users_talk_over_every_suite_and_transport(server: ServerProcess) -> None:
    for suite in ("chachapoly", "aesgcm", "aegis128l"):
        for transport in ("tcp", "ws"):
            one = client(server, f"a-{suite}", suite=suite, transport=transport)
            two = client(server, f"b-{suite}", suite=suite, transport=transport)
            async with one, two:
                ack = await one.send(two.user, f"over {transport}")
                assert ack.seq > 0
                assert await text_of(two, 1) == [f"over {transport}"]


async def test_websocket_clients_are_told_to_ping_before_a_proxy_closes_them(server: ServerProcess) -> None:
    for transport, told_s in (("tcp", 240), ("ws", 45)):
        async with client(server, f"p-{transport}", transport=transport) as me:
            assert me.engine._link._welcome.result().ping_interval_s == told_s


async def test_metrics_count_what_happened(server: ServerProcess) -> None:
    before = server.metrics()
    async with client(server, "counted") as me:
        await me.send("counted2", "x")
        during = server.metrics()
    assert during["qianwan_gateway_logins_total"] == before["qianwan_gateway_logins_total"] + 1
    assert during["qianwan_gateway_sessions"] >= 1
    assert during["qianwan_node_sessions"] == during["qianwan_gateway_sessions"]
    assert during['qianwan_gateway_stage_seconds_total{stage="seal"}'] > 0
    assert during["qianwan_ready"] == 1


async def test_a_refused_login_is_told_and_counted(server: ServerProcess) -> None:
    for token in (server.token("mallory")[:-4] + "AAAA", "not.a.token"):
        with pytest.raises(qianwan.ConnectionClosed) as refused:
            async with qianwan.Client(server.url, token=token, device_id="d"):
                pass
        assert refused.value.code == 4001
    assert any(name.startswith("qianwan_node_logins_refused_total") for name in server.metrics())


async def test_sigterm_sends_goaway_and_leaves_in_time(fresh: ServerProcess) -> None:
    fresh.settings = {"server.drain_timeout_s": 3, "server.drain_spread_s": 0.2}
    fresh.start()
    states: list[qianwan.State] = []
    async with client(fresh, "alice", on_state=lambda change: states.append(change.state)) as me:
        await me.send("bob", "before")
        began = time.monotonic()
        code = await asyncio.to_thread(fresh.stop)
        assert code == 0
        assert time.monotonic() - began < 15
    assert '"signal"' in fresh.log()


async def test_a_second_signal_ends_a_long_drain_at_once(fresh: ServerProcess) -> None:
    fresh.settings = {"server.drain_timeout_s": 600, "server.drain_spread_s": 300}
    fresh.start()
    phone = await asyncio.to_thread(
        Phone, Target.of(fresh), fresh.token("alice"), "phone"
    )  # it obeys no GOAWAY
    with contextlib.closing(phone.client):
        os.kill(fresh.pid, signal.SIGTERM)
        await asyncio.to_thread(fresh.wait_for, lambda: fresh.get("/readyz")[0] == 503, "draining")
        await asyncio.to_thread(fresh.wait_for, lambda: fresh.get("/livez")[0] == 200, "still alive")
        assert await asyncio.to_thread(fresh.stop) == 0


async def test_what_was_acknowledged_survives_kill_9(fresh: ServerProcess) -> None:
    fresh.start()
    async with client(fresh, "alice") as alice:
        for number in range(50):
            await alice.send("bob", f"m{number}")
        fresh.kill()
        fresh.start()
        await alice.send("bob", "after")
    async with client(fresh, "bob") as bob:
        assert await text_of(bob, 51) == [*(f"m{number}" for number in range(50)), "after"]


def test_a_token_of_the_command_line_works_and_a_revoked_key_does_not(fresh: ServerProcess) -> None:
    fresh.start()

    def program(*words: str) -> str:
        command = [sys.executable, "-m", "program", *words, "--data-dir", str(fresh.data_dir)]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    assert program("token", "--user", "alice").count(".") == 2
    key = program("api-key", "create", "app", "--scope", "tokens")
    status, answer = fresh.post("/v1/tokens", {"user": "x"}, key)
    assert (status, "token" in answer) == (201, True)
    program("api-key", "revoke", key.split("_")[1])
    fresh.wait_for(lambda: fresh.post("/v1/tokens", {"user": "x"}, key)[0] == 401, "revoked", 5)


def test_rotated_keys_reach_a_running_server(fresh: ServerProcess) -> None:
    fresh.start()
    before = fresh.get("/v1/lbs")[1]
    command = [sys.executable, "-m", "program", "keys", "rotate", "server", "--data-dir", str(fresh.data_dir)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    fresh.wait_for(lambda: fresh.get("/v1/lbs")[1] != before, "new key set", 10)

    async def talk() -> None:
        async with client(fresh, "alice") as me:
            await me.send("bob", "under the new key")

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"server.roles": ["im"]}, "bus.kind"),
        ({"gateway.core": {"no_such_limit": 1}}, "gateway.core.no_such_limit: unknown key"),
        ({"im.service": {"no_such_rule": 1}}, "im.service.no_such_rule: unknown key"),
        ({"control.gateways": ["nowhere"]}, "is not host:port"),
        ({"auth.bootstrap_api_key": "change-me"}, "sample secret"),
    ],
)
def test_settings_that_cannot_work_end_the_start_with_the_reason(
    fresh: ServerProcess, settings: dict[str, object], expected: str
) -> None:
    fresh.settings = settings
    with pytest.raises(ServerFailed, match="left with 2"):
        fresh.start()
    assert expected in fresh.log()


@pytest.mark.parametrize("taken", ["http_port", "gateway_port"])
def test_a_taken_port_ends_the_start_with_the_reason(
    server: ServerProcess, fresh: ServerProcess, taken: str
) -> None:
    setattr(fresh, taken, getattr(server, taken))
    fresh.start(wait=False)
    assert fresh.process is not None
    assert fresh.process.wait(60) == 3
    assert "cannot start" in fresh.log()

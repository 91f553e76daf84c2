"""The admin API of a running server: on its own port, for operators' keys, and only there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import qianwan

from tests.support.server_process import ServerFailed, ServerProcess, program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), admin="127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def admin(server: ServerProcess) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": server.first_api_key()}
    with httpx.Client(base_url=server.admin_url, headers=headers) as client:
        yield client


def test_the_first_key_may_everything_and_the_port_for_app_servers_knows_no_admin_api(
    server: ServerProcess, admin: httpx.Client
) -> None:
    assert admin.get("/self").json()["roles"] == ["viewer", "operator", "policy-admin", "security-admin"]
    assert server.get("/v1/admin/self")[0] == 404
    (count,) = admin.get("/routes").json()["gateways"]
    assert (count["open"], count["sessions"], count["registered"], count["equal"]) == (0, 0, 0, True)
    assert admin.get(server.admin_url.removesuffix("/admin") + "/lbs").status_code == 404
    assert admin.get("/docs").status_code == admin.get("/openapi.json").status_code == 200


def test_a_key_made_for_a_role_has_no_scopes_and_is_listed_with_it(server: ServerProcess) -> None:
    made = program("api-key", "create", "ops", "--role", "operator", "-d", str(server.data_dir))
    key = made.stdout.strip()
    with httpx.Client(headers={"X-API-Key": key}) as client:
        server.wait_for(lambda: client.get(f"{server.admin_url}/self").status_code == 200, "known")
    assert server.post("/v1/tokens", {"user": "ann"}, key)[0] == 403
    listed = program("api-key", "list", "-d", str(server.data_dir)).stdout
    assert "operator" in listed
    wrong = program("api-key", "create", "ops", "--role", "root", "-d", str(server.data_dir))
    assert (wrong.returncode, "unknown role root" in wrong.stderr) == (1, True)


def test_no_header_says_who_a_guess_comes_from(server: ServerProcess) -> None:
    wrong = server.first_api_key()[:-43] + "A" * 43
    before = server.metrics()["qianwan_api_keys_failures_total"]
    statuses = [
        httpx.get(
            f"{server.admin_url}/self",
            headers={"X-API-Key": "qwk_000000000000_" + wrong[-43:], "X-Forwarded-For": f"10.0.0.{number}"},
        ).status_code
        for number in range(11)
    ]
    assert statuses == [401] * 10 + [429]
    assert server.metrics()["qianwan_api_keys_failures_total"] == before + 10
    assert server.metrics()["qianwan_api_keys_locked"] == 1


def test_a_second_server_is_told_that_the_port_is_taken(server: ServerProcess, tmp_path: Path) -> None:
    taken = server.admin_url.split("/")[2]
    with (
        pytest.raises(ServerFailed, match=f"admin port {taken}: Address already in use"),
        ServerProcess(tmp_path / "data", admin=taken),
    ):
        pass


async def test_connections_are_found_shown_traced_and_ended(server: ServerProcess) -> None:
    headers = {"X-API-Key": server.first_api_key()}
    async with (
        httpx.AsyncClient(base_url=server.admin_url, headers=headers) as admin,
        qianwan.Client(server.url, token=server.token("ann"), device_id="phone") as ann,
        qianwan.Client(server.url, token=server.token("ben"), device_id="phone") as ben,
    ):

        async def conns(**query: str | int) -> dict[str, Any]:
            found: dict[str, Any] = (await admin.get("/conns", params=query)).json()
            return found

        await admin.put("/traces/ann", json={"for_s": 60}, headers={"If-Match": '"0"'})
        found = await conns(user="ann")
        (conn,) = found["conns"]
        path = f"/conns/{conn['id']}"
        assert (found["after"], found["silent"]) == ("", [])
        assert (conn["user"], conn["device"], conn["node"]) == ("ann", "phone", "node-1")
        assert abs(conn["since"] / 1000 - time.time()) < 60
        assert min(conn["received_bytes"], conn["acked_bytes"], conn["rtt_us"]) > 0
        nobody = (await admin.get("/topics", params={"topic": "r/nobody"})).json()
        assert nobody == {"topic": "r/nobody", "members": 0, "nodes": [], "silent": []}
        assert (await conns(topic="r/nobody"))["conns"] == []
        assert (await admin.get("/topics", params={"topic": "u/ann"})).status_code == 422
        assert {each["user"] for each in (await conns())["conns"]} == {"ann", "ben"}
        page = await conns(limit=1)
        rest = await conns(after=page["after"])
        assert {each["user"] for each in page["conns"] + rest["conns"]} == {"ann", "ben"}
        assert (await admin.get(path)).json()["session"] == conn["session"]
        for wrong in ({"address": "nowhere"}, {"after": "x"}, {"limit": 501}):
            assert (await admin.get("/conns", params=wrong)).status_code == 422
        async with asyncio.timeout(30):
            while '"SEND"' not in server.log():
                await ann.send("ben", "a secret word")
            while '"MSG"' not in server.log():
                await ben.send("ann", "a secret word")
        down = [
            json.loads(line) for line in server.log().splitlines() if '"SEND_ACK"' in line or '"MSG"' in line
        ]
        assert {(line["event"], line["user"], line["conn"]) for line in down} == {
            ("trace", "ann", conn["id"].partition("-")[2])
        }
        assert min(line["bytes"] for line in down) > 0
        assert "a secret word" not in server.log()
        ended = await admin.post(f"{path}/kick", json={"text": "maintenance"})
        assert (ended.status_code, ended.json()["user"]) == (200, "ann")
        async with asyncio.timeout(30):
            while (await conns(user="ann"))["conns"]:
                pass
        assert (await admin.post(f"{path}/kick", json={})).status_code == 404
        lines = (await admin.get("/audit", params={"what": "conns.kick"})).json()["entries"]
        assert ("ann", "done") in [(each["ids"].get("user"), each["outcome"]) for each in lines]

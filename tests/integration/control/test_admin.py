"""The admin API of a running server: on its own port, for operators' keys, and only there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

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

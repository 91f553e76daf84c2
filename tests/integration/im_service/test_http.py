"""The application's server over HTTP: many targets at once, broadcasts with a lifetime, repeats that are
none."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import qianwan

from control.api.table import OPERATIONS
from tests.support.server_process import ServerProcess

ENGINES = ("sqlite",)
WRITES = sorted(
    {
        (operation.http, re.sub(r"{\w+}", "1", "/v1" + operation.path))
        for operation in OPERATIONS
        if operation.http in ("POST", "PUT", "PATCH")
    }
    | {("POST", "/v1/tokens")}
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
async def http(server: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": server.first_api_key()}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10) as client:
        yield client


async def test_a_repeated_batch_is_answered_again_and_sent_once(http: httpx.AsyncClient) -> None:
    made = await http.post("/v1/groups", json={"group": "team", "owner": "olga", "members": ["bob"]})
    assert made.is_success, made.text
    body = {
        "sender": "olga", "targets": ["u/bob", "g/team", "g/none"], "body": {"text": "sale"},
        "client_id": "sale",
    }  # fmt: skip
    headers = {"Idempotency-Key": "sale-1"}
    first, again = [await http.post("/v1/messages/batch", json=body, headers=headers) for _ in range(2)]
    codes = {result["target"]: result["code"] for result in first.json()["results"]}
    assert codes == {"u/bob": 0, "g/team": 0, "g/none": 803}
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    seqs = {result["target"]: result["seq"] for result in first.json()["results"] if not result["code"]}
    assert seqs == {"u/bob": 1, "g/team": 2}


async def test_a_broadcast_reaches_who_is_here_and_who_comes_in_its_lifetime(
    server: ServerProcess, http: httpx.AsyncClient
) -> None:
    async with qianwan.Client(server.url, token=server.token("here"), device_id="d") as here:
        await here.call("time", {})
        headers = {"Idempotency-Key": "notice-1"}
        body = {"body": {"data": "closing at ten"}, "lifetime_s": 3600}
        first, again = [await http.post("/v1/broadcasts", json=body, headers=headers) for _ in range(2)]
        assert first.is_success, first.text
        assert first.json()["id"] == again.json()["id"]
        async for notice in here.notices():
            if notice.name == "broadcast":
                assert notice.data["body"] == {"data": "closing at ten"}
                break
    async with qianwan.Client(server.url, token=server.token("late"), device_id="d") as late:
        found = (await late.call("broadcasts", {}))["broadcasts"]
        assert [kept["id"] for kept in found] == [first.json()["id"]]
    too_long = {**body, "lifetime_s": 31 * 86_400}
    assert (await http.post("/v1/broadcasts", json=too_long)).status_code == 422


async def test_a_breach_of_a_rate_says_when_to_come_again(tmp_path: Path) -> None:
    rates = {"account_rate": {"per_s": 0.01, "burst": 1}}
    with ServerProcess(tmp_path / "limited", settings={"im.service": rates}) as server:
        async with qianwan.Client(server.url, token=server.token("al"), device_id="d") as al:
            await al.send("bob", "one")
            with pytest.raises(qianwan.RequestError) as refused:
                await al.send("bob", "two")
            assert refused.value.code == 416
            assert refused.value.retry_after_s > 0


async def test_a_body_nested_without_end_is_refused_by_every_route(http: httpx.AsyncClient) -> None:
    for method, path in WRITES:
        for levels in (980, 990, 995, 1000, 20_000):
            body = '{"body":' + "[" * levels + "]" * levels + "}"
            answer = await http.request(
                method, path, content=body, headers={"Content-Type": "application/json"}
            )
            assert 400 <= answer.status_code < 500, (method, path, levels, answer.text)

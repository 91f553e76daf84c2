"""The HTTP API on a real server: keys and scopes, problems, idempotency, limits, and messages that arrive."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from typing import Any

import httpx
import pytest
import qianwan

from tests.support.server_process import ROOT, ServerProcess


@pytest.fixture
def http(server: ServerProcess) -> httpx.Client:
    with httpx.Client(
        base_url=server.url, headers={"X-API-Key": server.first_api_key()}, timeout=10
    ) as client:
        yield client


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == f"urn:qianwan:problem:{slug}"
    assert document["status"] == status
    return dict(document)


def key_with(server: ServerProcess, *scopes: str) -> str:
    command = [
        sys.executable,
        "-m",
        "program",
        "api-key",
        "create",
        "app",
        "--data-dir",
        str(server.data_dir),
    ]
    for scope in scopes:
        command += ["--scope", scope]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def test_without_a_key_with_a_wrong_key_and_with_a_key_of_another_scope(server: ServerProcess) -> None:
    url = f"{server.url}/v1/tokens"
    refused = httpx.post(url, json={"user": "a"})
    problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    problem(httpx.post(url, json={"user": "a"}, headers={"X-API-Key": "qwk_x"}), 401, "unauthorized")
    reader = key_with(server, "read")
    bearer = {"Authorization": f"Bearer {reader}"}
    assert (
        problem(httpx.post(url, json={"user": "a"}, headers=bearer), 403, "scope-missing")["scope"]
        == "tokens"
    )
    assert httpx.get(f"{server.url}/v1/users/a", headers=bearer).status_code == 200


def test_who_leaves_in_the_middle_and_what_is_no_http_are_counted_and_fill_no_log(
    server: ServerProcess, http: httpx.Client
) -> None:
    head = f"POST /v1/messages HTTP/1.1\r\nHost: h\r\nX-API-Key: {server.first_api_key()}\r\n"
    before = server.metrics()
    for sent in (
        f"{head}Content-Length: 100\r\nContent-Type: application/json\r\n\r\n{{".encode(),
        b"\0\r\n\r\n",
    ):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.http_port)) as client:
                client.sendall(sent)
                if sent[0] == 0:
                    assert client.recv(100).startswith(b"HTTP/1.1 400")

    def counted(name: str) -> float:
        return server.metrics()[name] - before[name]

    server.wait_for(lambda: counted("qianwan_http_clients_gone_total") >= 20, "20 gone")
    assert counted("qianwan_http_requests_malformed_total") == 20
    assert "Traceback" not in server.log()
    assert server.log().count("Invalid HTTP request") <= 2


def test_tokens_are_bounded_and_bodies_strict(http: httpx.Client) -> None:
    assert http.post("/v1/tokens", json={"user": "a", "ttl_s": 60}).status_code == 201
    for body in ({"user": "a", "ttl_s": 366 * 86400}, {"user": "a/b"}, {"user": "a", "admin": True}, {}, []):
        problem(http.post("/v1/tokens", json=body), 422, "invalid")
    broken = http.post("/v1/tokens", content=b"{", headers={"Content-Type": "application/json"})
    problem(broken, 400, "malformed")


def test_query_parameters_that_a_route_does_not_know_are_refused_but_by_the_lbs(
    server: ServerProcess, http: httpx.Client
) -> None:
    said = {"sender": "a", "target": "u/b", "body": {"text": "x"}}
    for method, path, body in (
        ("POST", "/v1/tokens", {"user": "a"}),
        ("POST", "/v1/messages", said),
        ("GET", "/v1/users/a", None),
        ("DELETE", "/v1/groups/g", None),
    ):
        problem(http.request(method, path, params={"later": "1"}, json=body), 422, "invalid")
    assert httpx.get(f"{server.url}/v1/lbs?later=1").status_code == 200


@pytest.mark.parametrize("page", ["/v1/docs", "/v1/openapi.json", "/v1/lbs", "/livez", "/metrics"])
def test_these_pages_ask_for_no_key(server: ServerProcess, page: str) -> None:
    assert httpx.get(server.url + page).status_code == 200


def test_what_is_not_there_is_a_problem_too(http: httpx.Client) -> None:
    problem(http.get("/nowhere"), 404, "not-found")
    refused = http.put("/v1/tokens")
    problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "POST"
    refused = http.put("/v1/rooms/hall")
    assert refused.headers["allow"] == "DELETE, GET, PATCH"
    assert problem(http.get("/v1/groups/nobody"), 404, "group-not-found")["code"] == 803


def test_a_large_body_is_refused_announced_or_not(http: httpx.Client) -> None:
    big = json.dumps({"user": "a" * (1 << 20)}).encode()
    headers = {"Content-Type": "application/json"}
    problem(http.post("/v1/tokens", content=big, headers=headers), 413, "body-too-large")
    chunks = (big[start : start + 65536] for start in range(0, len(big), 65536))
    problem(http.post("/v1/messages", content=chunks, headers=headers), 413, "body-too-large")


def test_an_idempotency_key_gives_the_first_answer_again(http: httpx.Client) -> None:
    body = {"sender": "shop", "target": "u/idem", "body": {"text": "once"}}
    headers = {"Idempotency-Key": "order-1"}
    first = http.post("/v1/messages", json=body, headers=headers)
    again = http.post("/v1/messages", json=body, headers=headers)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = http.post("/v1/messages", json={**body, "target": "u/else"}, headers=headers)
    problem(other, 422, "idempotency-mismatch")
    problem(http.post("/v1/messages", json=body, headers={"Idempotency-Key": "a b"}), 422, "invalid")
    without = http.post("/v1/messages", json=body)
    assert without.json()["seq"] == first.json()["seq"] + 1


def test_a_refusal_may_be_tried_again_under_the_same_key(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "bad-1"}
    wrong = {"sender": "shop", "target": "nowhere", "body": {"text": "x"}}
    problem(http.post("/v1/messages", json=wrong, headers=headers), 422, "invalid")
    right = {**wrong, "target": "u/a"}
    assert http.post("/v1/messages", json=right, headers=headers).status_code == 200


async def test_a_message_of_the_app_server_reaches_a_client(
    server: ServerProcess, http: httpx.Client
) -> None:
    async with qianwan.Client(server.url, token=server.token("reader"), device_id="d") as reader:
        body = {"sender": "shop", "target": "u/reader", "body": {"text": "hello"}}
        sent = await asyncio.to_thread(lambda: http.post("/v1/messages", json=body).json())
        async with asyncio.timeout(10):
            async for message in reader.messages():
                assert (message.sender, message.text, message.seq) == ("shop", "hello", sent["seq"])
                break


def test_a_message_can_be_edited_and_recalled(http: httpx.Client) -> None:
    body = {"sender": "shop", "target": "u/reader", "body": {"text": "hello"}}
    sent = http.post("/v1/messages", json=body).json()
    where = {"conversation": "s/reader:shop", "seq": sent["seq"]}
    assert http.post("/v1/messages/edit", json={**where, "body": {"text": "hi"}}).status_code == 200
    (version,) = http.get("/v1/messages/versions", params=where).json()["versions"]
    assert (version["version"], version["body"]) == (0, {"text": "hello"})
    assert http.post("/v1/messages/recall", json=where).status_code == 200
    page = http.get("/v1/history", params={"conversation": "s/reader:shop", "limit": 10}).json()
    recalled = next(message for message in page["messages"] if message["seq"] == sent["seq"])
    assert recalled["flags"] & 1, "the flag of a recalled message"
    assert recalled["server_id_str"] == str(recalled["server_id"]) == sent["server_id_str"]


def test_what_does_not_exist_is_404_not_empty(http: httpx.Client) -> None:
    nowhere = {"conversation": "s/nobody:noone"}
    group = {"conversation": "g/nogroup"}
    for path, params in (
        ("/v1/history", nowhere),
        ("/v1/history", group),
        ("/v1/history", {"conversation": "r/noroom"}),
        ("/v1/messages", {**nowhere, "seqs": "1"}),
        ("/v1/messages/reactions", {**group, "seqs": "1"}),
        ("/v1/messages/receipts", {**group, "seqs": "1"}),
        ("/v1/messages/versions", {**nowhere, "seq": "1"}),
        ("/v1/rooms/noroom/online", {}),
        ("/v1/rooms/noroom/people", {}),
    ):
        assert http.get(path, params=params).status_code == 404, path


def test_members_of_a_group_come_in_pages(http: httpx.Client) -> None:
    members = [f"m{number:03}" for number in range(25)]
    group = http.post("/v1/groups", json={"owner": "boss", "members": members, "name": "crew"}).json()[
        "group"
    ]
    seen: list[str] = []
    after, more = "", True
    while more:
        params = {"limit": 10} | ({"after": after} if after else {})
        page = http.get(f"/v1/groups/{group}/members", params=params).json()
        seen += [member["user"] for member in page["members"]]
        after, more = seen[-1], page["more"]
    assert sorted(seen) == sorted([*members, "boss"])
    assert len(seen) == len(set(seen))
    assert http.delete(f"/v1/groups/{group}").status_code == 200
    problem(http.get(f"/v1/groups/{group}"), 404, "group-not-found")


async def test_disabling_an_account_closes_its_sessions(server: ServerProcess, http: httpx.Client) -> None:
    async with qianwan.Client(server.url, token=server.token("banned"), device_id="d") as banned:
        answer = await asyncio.to_thread(lambda: http.post("/v1/users/banned/disable", json={"seconds": 60}))
        assert answer.status_code == 200, answer.text
        async with asyncio.timeout(10):
            with pytest.raises(qianwan.ConnectionClosed) as closed:
                async for _ in banned.messages():
                    pass
        assert closed.value.code == 4005


def test_too_many_requests_with_one_key(fresh: ServerProcess) -> None:
    fresh.settings = {"limits.api_requests_per_s": 1, "limits.api_burst": 10}
    fresh.start()
    headers = {"X-API-Key": fresh.first_api_key()}
    with httpx.Client(base_url=fresh.url, headers=headers) as http:
        answers = [http.get("/v1/users/a") for _ in range(13)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 1 <= len(refused) <= 3
    assert problem(refused[0], 429, "rate-limited")
    assert int(refused[0].headers["retry-after"]) >= 1


def test_the_document_is_sent_once_to_a_client_that_keeps_it(server: ServerProcess) -> None:
    url = f"{server.url}/v1/openapi.json"
    first = httpx.get(url)
    assert first.status_code == 200
    assert first.headers["content-type"] == "application/json"
    again = httpx.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    page = httpx.get(f"{server.url}/v1/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "openapi.json" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "://cdn" not in page.text


def test_a_disabled_account_gets_no_token_until_it_is_enabled(http: httpx.Client) -> None:
    assert http.post("/v1/tokens", json={"user": "gone"}).status_code == 201
    way = http.post("/v1/users/gone/disable", json={"seconds": 3600})
    assert way.status_code == 200, way.text
    refused = problem(http.post("/v1/tokens", json={"user": "gone"}), 403, "account-disabled")
    assert refused["code"] == 422
    assert http.post("/v1/users/gone/disable", json={"seconds": 0}).status_code == 200
    assert http.post("/v1/tokens", json={"user": "gone"}).status_code == 201

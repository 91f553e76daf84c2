"""What the HTTP API says to an app server that mistypes, acts for the wrong user, or changes nothing; and who
did what stands in the log."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import httpx
import pytest

from control.audit.log import segments
from control.audit.read import page
from control.audit.verify import verify
from tests.support.server_process import ServerProcess

TALK = "s/ann:bob"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": server.first_api_key()}
    with httpx.Client(base_url=server.url, headers=headers, timeout=10) as client:
        sent = client.post("/v1/messages", json={"sender": "ann", "target": "u/bob", "body": {"text": "hi"}})
        assert sent.status_code == 200
        made = client.post("/v1/groups", json={"group": "walks", "name": "x", "owner": "ann"})
        assert made.status_code == 200
        yield client


def refused(answer: httpx.Response, status: int, words: str) -> None:
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text


ACTS: list[tuple[str, dict[str, Any]]] = [
    ("reactions", {"seq": 1, "kind": "like"}),
    ("messages/delete", {"seqs": [1]}),
    ("read", {"seq": 1}),
    ("conversations/set", {"pin": True}),
    ("conversations/clear", {"up_to_seq": 1}),
]


@pytest.mark.parametrize(("path", "body"), ACTS, ids=[path for path, _ in ACTS])
@pytest.mark.parametrize("talk", [TALK, "g/walks"])
def test_for_somebody_who_is_not_in_a_conversation_nothing_is_done_there(
    http: httpx.Client, path: str, body: dict[str, Any], talk: str
) -> None:
    answer = http.post(f"/v1/users/zed/{path}", json={"conversation": talk, **body})
    assert answer.status_code in (403, 404), answer.text
    shown = http.get("/v1/messages/reactions", params={"conversation": talk, "seqs": 1}).json()
    assert shown["reactions"] == []


@pytest.mark.parametrize(("path", "body"), ACTS, ids=[path for path, _ in ACTS])
def test_for_somebody_who_is_in_it_all_of_that_works(
    http: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    http.post("/v1/messages", json={"sender": "ann", "target": "u/cleo", "body": {"text": "hi"}})
    answer = http.post(f"/v1/users/cleo/{path}", json={"conversation": "s/ann:cleo", **body})
    assert answer.status_code == 200, answer.text


def test_what_is_missing_is_named(http: httpx.Client) -> None:
    refused(http.post("/v1/groups", json={"name": "x"}), 422, "owner is required")
    refused(http.post("/v1/groups/walks/nick", json={"nick": "x"}), 422, "user is required")
    refused(http.post("/v1/messages/recall", json={"conversation": TALK}), 422, "seq or server_id")
    refused(http.get("/v1/history", params={"conversation": "s/bob:ann"}), 422, "s/ann:bob")
    refused(http.get("/"), 404, "/v1/docs")


def test_an_unknown_room_is_not_found_and_neither_is_a_message_its_history_does_not_have(
    http: httpx.Client,
) -> None:
    said = {"sender": "ann", "target": "r/nowhere", "body": {"text": "x"}}
    refused(http.post("/v1/messages", json=said), 404, "no such room")
    http.post("/v1/rooms", json={"room": "kept", "history": True})
    refused(http.post("/v1/rooms/kept/recall", json={"server_id": 1}), 404, "no such message")
    refused(http.post("/v1/rooms/nowhere/recall", json={"server_id": 1}), 404, "no such room")
    sent = http.post("/v1/messages", json={**said, "target": "r/kept"}).json()
    recalled = http.post("/v1/rooms/kept/recall", json={"server_id": sent["server_id"]})
    assert recalled.status_code == 200, recalled.text


@pytest.mark.parametrize("body", [{}, {"name": "x"}])
def test_an_update_that_changes_nothing_raises_no_revision_and_tells_nobody(
    http: httpx.Client, body: dict[str, str]
) -> None:
    before = http.get("/v1/groups/walks").json()
    told = http.get("/v1/history", params={"conversation": "g/walks"}).json()["messages"]
    after = http.patch("/v1/groups/walks", json=body).json()
    assert after == before
    assert http.get("/v1/history", params={"conversation": "g/walks"}).json()["messages"] == told
    assert http.patch("/v1/groups/walks", json={"intro": f"new {body}"}).json()["rev"] == before["rev"] + 1


def test_what_a_profile_has_already_raises_no_revision(http: httpx.Client) -> None:
    first = http.patch("/v1/users/flo/profile", json={"nick": "Flora"}).json()
    assert http.patch("/v1/users/flo/profile", json={"nick": "Flora"}).json() == first
    assert http.patch("/v1/users/flo/profile", json={}).json() == first


def test_what_a_user_has_asked_of_groups_is_listed_and_decided(http: httpx.Client) -> None:
    asked = http.post("/v1/users/eva/groups/walks/join", json={})
    assert asked.json()["joined"] is False
    mine = http.get("/v1/users/eva/group-requests").json()["requests"]
    assert [(line["group"], line["user"], line["state"]) for line in mine] == [("walks", "eva", 0)]
    decided = http.post(f"/v1/groups/walks/requests/{mine[0]['id']}", json={"accept": True})
    assert decided.status_code == 200
    (line,) = http.get("/v1/users/eva/group-requests").json()["requests"]
    assert line["state"] == 1


def test_the_audit_log_says_which_key_did_what_to_whom_and_no_text(
    http: httpx.Client, server: ServerProcess
) -> None:
    http.post("/v1/users/zoe/disable", json={"seconds": 60, "text": "a private reason"})
    http.post("/v1/groups/nobodys/kick", json={"users": ["zoe", "eva"]})
    http.post("/v1/users/zoe/read", json={"conversation": TALK, "seq": 1})
    http.post("/v1/messages/recall", json={"conversation": TALK, "seq": 1, "text": "a private reason"})
    named = {"Idempotency-Key": "once", "X-Request-Id": "of-the-shop"}
    for _ in range(2):
        told = http.post("/v1/tokens", json={"user": "yan", "device": "phone"}, headers=named)
    assert told.headers["x-request-id"] == "of-the-shop"
    http.get("/v1/users/zoe")
    folder = server.data_dir / "audit" / "apps"
    assert verify(folder).problem == ""
    assert "a private reason" not in "".join(path.read_text() for path in segments(folder))
    lines = page(folder, 0, 5)[0][::-1]
    key = server.first_api_key().split("_")[1]
    assert {(line.who, line.via, line.address) for line in lines} == {(key, "api", "127.0.0.1")}
    assert [(line.what, line.outcome[:11].strip()) for line in lines] == [
        ("account.disable", "done"), ("group.kick", "refused 803"), ("read", "refused 403"),
        ("recall", "done"), ("token.create", "done"),
    ]  # fmt: skip
    assert lines[0].ids == {"user": "zoe", "seconds": 60}
    assert lines[1].ids == {"group": "nobodys", "users": ["zoe", "eva"]}
    assert (lines[2].ids["acting_for"], lines[2].ids["conversation"]) == ("zoe", TALK)
    assert (lines[4].ids, lines[4].request) == ({"user": "yan", "device": "phone"}, "of-the-shop")


def test_the_document_names_the_version_of_the_program_and_each_operation_once(http: httpx.Client) -> None:
    document = http.get("/v1/openapi.json").json()
    assert document["info"]["version"] == version("qianwan-server")
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(ids) == len(set(ids))
    page = http.get("/v1/docs").text
    assert "127.0.0.1:7800" not in page
    assert "$QIANWAN_URL/v1/messages" in page

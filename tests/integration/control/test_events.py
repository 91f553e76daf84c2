"""The durable copy over HTTP: pages, long poll, consumer groups, and what operators see of it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from jsonschema import Draft202012Validator

from im_service.outbox.cursors import Spot, parse
from im_service.storage.event_records import Place
from tests.support.server_process import ROOT, ServerProcess

ONE = {"content-type": "application/cloudevents+json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("events") / "data", admin="127.0.0.1:0") as running:
        yield running


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{server.url}/v1", headers={"X-API-Key": server.first_api_key()}, timeout=60
    ) as client:
        yield client


def send(http: httpx.Client, text: str, **options: Any) -> dict[str, Any]:
    body = {"sender": "alice", "target": "u/bob", "type": 0, "body": {"text": text}, "options": options}
    return dict(http.post("/messages", json=body).raise_for_status().json())


def page(http: httpx.Client, **query: Any) -> dict[str, Any]:
    return dict(http.get("/events", params=query).raise_for_status().json())


def texts(found: dict[str, Any]) -> list[str]:
    return [event["data"]["body"]["text"] for event in found["events"]]


def test_what_was_sent_is_pulled_in_pages_and_waited_for(http: httpx.Client) -> None:
    start = http.get("/events/cursor", params={"at": "head"}).json()["cursor"]
    send(http, "one", env="audit")
    sent = send(http, "two")
    send(http, "kept out", route=False)
    first = page(http, after=start, limit=1)
    assert (texts(first), first["more"]) == (["one"], True)
    second = page(http, after=first["next"])
    assert (texts(second), second["more"]) == (["two"], False)
    (event,) = second["events"]
    assert (event["kind"], event["subject"], event["data"]["to"]) == ("message.single", "s/alice:bob", "bob")
    assert event["event_id"] == str(sent["server_id"]) == event["data"]["server_id"]
    assert texts(page(http, after=start, envs="audit")) == ["one"]
    assert texts(page(http, after=start, kinds="message.*")) == ["one", "two"]
    assert texts(page(http, after=start, kinds="session.login")) == []
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(page, http, after=second["next"], wait_s=8)
        send(http, "three")
        assert texts(waiting.result()) == ["three"]


def test_a_group_goes_on_where_it_was_and_tells_its_lag(http: httpx.Client) -> None:
    start = http.get("/events/cursor").json()["cursor"]
    assert http.get("/events", params={"group": "archive"}).status_code == 404
    made = http.put("/events/groups/archive", json={"cursor": start, "revision": 0}).raise_for_status().json()
    send(http, "for the archive")
    found = page(http, group="archive")
    assert texts(found) == ["for the archive"]
    assert http.get("/events/groups/archive").json()["lag_events"] == 1
    cursor = {"cursor": found["next"], "revision": made["revision"]}
    assert http.put("/events/groups/archive", json=cursor).json()["lag_events"] == 0
    assert http.put("/events/groups/archive", json=cursor).status_code == 409, "somebody was faster"
    assert [group["group"] for group in http.get("/events/groups").json()["groups"]] == ["archive"]
    assert http.delete("/events/groups/archive").json() == {"changed": True}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("kinds=mesage.*", "did you mean message.*?"),
        ("kinds=message.single,session.logn", "did you mean session.login?"),
        ("kinds=*", "names none has them all"),
        ("kinds=", "names none has them all"),
        ("kinds=message.single&kinds=..", "is no kind of event"),
        ("limit=5&limit=6", "limit: stands twice"),
        ("after=a&after=b", "after: stands twice"),
        ("after=AQcHBwcHBwcHAQEAAA&group=x", "after or group, not both"),
    ],
)
def test_words_that_would_read_as_silence_are_refused(http: httpx.Client, query: str, says: str) -> None:
    answer = http.get(f"/events?{query}")
    assert (answer.status_code, says in answer.json()["detail"]) == (422, True), answer.text


def test_kinds_stand_in_one_parameter_or_in_several(http: httpx.Client) -> None:
    start = http.get("/events/cursor").json()["cursor"]
    send(http, "kinds")
    for query in ("kinds=session.login,message.single", "kinds=room.*&kinds=message.*"):
        found = http.get(f"/events?after={start}&{query}").raise_for_status()
        assert texts(found.json()) == ["kinds"]


def test_operators_name_kinds_of_the_same_table(server: ServerProcess, http: httpx.Client) -> None:
    admin = server.admin_url
    tail = http.get(f"{admin}/events", params={"kinds": "mesage.*"})
    assert (tail.status_code, "did you mean message.*?" in tail.json()["detail"]) == (422, True)
    wanted = {"name": "typo", "url": "https://shop.example/", "kinds": ["mesage.single"]}
    made = http.post(f"{admin}/endpoints", json=wanted)
    assert (made.status_code, "did you mean message.single?" in made.json()["detail"]) == (422, True)


def test_a_time_is_named_with_its_word(http: httpx.Client) -> None:
    send(http, "before it")
    for query in ({"at": "time"}, {"time_ms": 1}, {"at": "first", "time_ms": 1}):
        assert http.get("/events/cursor", params=query).status_code == 422, query
    late = http.get("/events/cursor", params={"at": "time", "time_ms": (1 << 53) - 1}).json()
    assert late == http.get("/events/cursor", params={"at": "head"}).json()


def test_a_group_takes_no_cursor_that_the_store_never_gave(http: httpx.Client) -> None:
    start = http.get("/events/cursor").json()["cursor"]
    beyond = Spot(parse(start).life, Place(1 << 40, 1 << 40)).text()
    for cursor in (beyond, "AQcHBwcHBwcHAQEAAA"):
        answer = http.put("/events/groups/lost", json={"cursor": cursor})
        assert (answer.status_code, "go_on" in answer.json()) == (410, True), answer.text
    assert http.get("/events/groups/lost").status_code == 404, "nothing was made"
    for name in ("..", "%2E%2E", "."):
        assert http.put(f"/events/groups/{name}", json={"cursor": start}).status_code != 200


def test_the_schema_is_served_once_and_known_afterwards(http: httpx.Client) -> None:
    start = http.get("/events/cursor").json()["cursor"]
    send(http, "as the schema says", env="audit")
    answer = http.get("/events/schema").raise_for_status()
    assert answer.headers["content-type"] == "application/schema+json"
    assert answer.json() == json.loads((ROOT / "docs/events.schema.json").read_text())
    (event,) = page(http, after=start)["events"]
    Draft202012Validator(answer.json()).validate(event)
    again = http.get("/events/schema", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert http.get("/events/schema", params={"x": 1}).status_code == 422


BATCH = "application/cloudevents-batch+json"
WEIGHED = {
    BATCH: True,
    f"{BATCH};q=0.1": True,
    f"{BATCH};q=0": False,
    f"{BATCH};q=0.000, */*": False,
    f"{BATCH};q=0.1, application/json": False,
    f"application/json;q=0.4, {BATCH};q=0.5": True,
    f"{BATCH}, application/json": False,
    f"{BATCH}, */*": True,
    f"{BATCH}; Q=0.2, application/*;q=0.3": False,
    f"{BATCH};q=much": False,
    "*/*": False,
}
"""Whether CloudEvents are the answer."""


def test_numbers_of_a_query_are_digits(http: httpx.Client) -> None:
    for text in ("1e3", "1.0", "+1", " 1", "1_0", "\u0661", ""):
        answer = http.get("/events", params={"limit": text})
        assert (answer.status_code, "limit" in answer.json()["detail"]) == (422, True), text
    assert http.get("/events", params={"limit": "10"}).status_code == 200


def test_pages_come_as_cloud_events_to_who_asks_for_them(http: httpx.Client) -> None:
    start = http.get("/events/cursor").json()["cursor"]
    send(http, "one", env="audit")
    send(http, "two")
    plain = page(http, after=start)
    batch = {"Accept": "application/json;q=0.5, application/cloudevents-batch+json"}
    by_header = http.get("/events", params={"after": start}, headers=batch)
    by_query = http.get("/events", params={"after": start, "format": "cloudevents"})
    for answer in (by_header, by_query):
        assert answer.headers["content-type"] == "application/cloudevents-batch+json"
        assert (answer.headers["qianwan-next"], answer.headers["qianwan-more"]) == (plain["next"], "false")
        read = [from_http_event(HTTPMessage(ONE, json.dumps(each).encode())) for each in answer.json()]
        assert [event.get_id() for event in read] == [event["event_id"] for event in plain["events"]]
        assert [event.get_data() for event in read] == [event["data"] for event in plain["events"]]
    first = http.get("/events", params={"after": start, "format": "cloudevents", "limit": 1})
    assert first.headers["qianwan-more"] == "true"
    rest = http.get("/events", params={"after": first.headers["qianwan-next"]}, headers=batch)
    assert first.json() + rest.json() == by_query.json()
    for accept, wanted in WEIGHED.items():
        answer = http.get("/events", params={"after": start}, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"] == BATCH) == (200, wanted), accept
    decided = http.get("/events", params={"after": start, "format": "qianwan"}, headers=batch)
    assert decided.json() == plain
    assert http.get("/events", params={"format": "xml"}).status_code == 422
    assert http.get("/events", params={"after": "nothing"}, headers=batch).status_code == 422


def test_a_cursor_that_is_none_or_gone_is_told_so(http: httpx.Client) -> None:
    refused = http.get("/events", params={"after": "nothing"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "not a cursor of this service")
    elsewhere = "AQcHBwcHBwcHAQEAAA"  # of a store with another incarnation
    gone = http.get("/events", params={"after": elsewhere})
    assert (gone.status_code, gone.json()["type"]) == (410, "urn:qianwan:problem:gone")
    assert page(http, after=gone.json()["go_on"])["events"]


def test_operators_see_what_passes_but_not_what_it_says(server: ServerProcess, http: httpx.Client) -> None:
    start = http.get("/events/cursor").json()["cursor"]
    send(http, "secret words")
    http.put("/events/groups/slow", json={"cursor": start}).raise_for_status()
    command = [sys.executable, "-m", "program", "events"]
    where = ["--data-dir", str(server.data_dir)]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*command, *words, *where], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shown = run("tail", "--after", start, "--count", "1")
    assert "message.single" in shown
    assert "s/alice:bob" in shown
    assert "secret" not in shown
    (group,) = json.loads(run("lag", "--json"))["groups"]
    assert (group["group"], group["lag_events"]) == ("slow", 1)
    http.delete("/events/groups/slow").raise_for_status()


def test_who_waits_leaves_the_port_to_others(server: ServerProcess, http: httpx.Client) -> None:
    start = http.get("/events/cursor").json()["cursor"]
    lines = (
        f"GET /v1/events?after={start}&wait_s=8 HTTP/1.1", "Host: h", f"X-API-Key: {server.first_api_key()}",
        "Connection: close",
    )  # fmt: skip
    asked = ("\r\n".join(lines) + "\r\n\r\n").encode()
    with contextlib.ExitStack() as opened:
        greedy = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.http_port), timeout=30))
            for _ in range(255)
        ]
        for each in greedy[:32]:
            each.sendall(asked)
        server.wait_for(lambda: server.metrics()["qianwan_http_long_polls"] == 32, "all of the part")
        for each in greedy[32:]:
            each.sendall(asked)
        answered = sum(b"retry-after: 1" in each.recv(65536).lower() for each in greedy[32:])
        send(http, "meanwhile")
        waited = [read_all(each) for each in greedy[:32]]
        assert all(b"meanwhile" in each and b"retry-after" not in each.lower() for each in waited)
    assert answered == 223, "the others are answered at once"
    assert server.metrics()["qianwan_http_long_polls_cut_total"] == 223


def read_all(of: socket.socket) -> bytes:
    found = b""
    while part := of.recv(65536):
        found += part
    return found

"""The event copy reaches a receiver of thirty lines, whatever is killed meanwhile; operators steer it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.other_programs import environment
from tests.support.server_process import ROOT, ServerProcess, free_ports, program

OPEN = {"outgoing.networks": ["127.0.0.0/8"], "outgoing.plain_http": True}
PATIENCE_S = 60


class Example:
    """examples/webhook_receiver.py, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.file = folder / "events.sqlite3"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, secret: str) -> None:
        script = ROOT / "examples/webhook_receiver.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self.file)],
            env=environment() | {"SECRET": secret},
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def events(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """(id, subject, kind, data) in the order in which they came."""
        if not self.file.exists():
            return []
        with closing(sqlite3.connect(self.file)) as conn:
            try:
                rows = conn.execute("SELECT event FROM event ORDER BY place").fetchall()
            except sqlite3.OperationalError:
                return []
        events = [json.loads(row[0]) for row in rows]
        return [(each["event_id"], each["subject"], each["kind"], each["data"]) for each in events]


def ask(
    server: ServerProcess, method: str, path: str, body: object = None, key: str = ""
) -> tuple[int, Any, Any]:
    headers = {"X-API-Key": key or server.first_api_key(), "Content-Type": "application/json"}
    if method in ("PUT", "DELETE"):
        headers["If-Match"] = "*"
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.admin_url + path, content, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def until(true: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def say(server: ServerProcess, first: int, count: int) -> None:
    for number in range(first, first + count):
        target = f"u/to{number % 3}"
        message = {"sender": "alice", "target": target, "body": {"text": f"m{number}"}}
        status, answer = server.post("/v1/messages", message)
        assert status == 200, answer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "server", admin="127.0.0.1:0", settings=OPEN) as started:
        yield started


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    made = Example(tmp_path)
    yield made
    made.stop()


def test_a_receiver_of_thirty_lines_has_every_event_once_and_in_order_though_all_is_killed(
    server: ServerProcess, example: Example
) -> None:
    lines = (ROOT / "examples/webhook_receiver.py").read_text().splitlines()
    assert len(lines) <= 30
    made = ask(server, "POST", "/endpoints", {"name": "shop", "url": example.url, "batch": 5})
    assert made[0] == 201, made[1]
    secret = made[1]["secret"]
    say(server, 0, 20)  # nobody is there yet
    example.start(secret)
    until(lambda: len(example.events()) >= 5, "the first events")
    server.kill()
    server.start()
    say(server, 20, 20)
    example.stop()
    say(server, 40, 10)
    server.kill()
    example.start(secret)
    server.start()
    say(server, 50, 10)
    until(lambda: len(example.events()) >= 60, "all events")
    found: dict[str, list[str]] = defaultdict(list)
    for _, subject, kind, data in example.events():
        assert kind == "message.single"
        found[subject].append(data["body"]["text"])
    assert sorted(found) == [f"s/alice:to{n}" for n in range(3)]
    for n in range(3):
        assert found[f"s/alice:to{n}"] == [f"m{number}" for number in range(60) if number % 3 == n]


def test_operators_make_test_pause_rotate_and_replay_an_endpoint(
    server: ServerProcess, example: Example
) -> None:
    url = server.admin_url.removesuffix("/v1/admin")
    key = server.first_api_key()

    def run(*words: str) -> Any:
        done = program("events", *words, "--url", url, "--api-key", key, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    made = run("endpoints", "add", "shop", example.url, "--kind", "message.*")
    assert made["secret"].startswith("whsec_")
    shown = ask(server, "GET", "/endpoints/shop")
    assert "secret" not in shown[1]
    assert shown[2]["ETag"]
    document = ask(server, "GET", "/audit")[1]
    assert made["secret"] not in json.dumps(document)
    example.start(made["secret"])
    until(lambda: run("endpoints", "test", "shop")["verdict"] == "delivered", "the receiver is there")
    assert example.events()[0][2] == "endpoint.test"
    ask(server, "POST", "/endpoints/shop/pause", {})
    say(server, 0, 3)
    assert ask(server, "GET", "/endpoints/shop")[1]["state"] == "paused"
    status, rotated, _ = ask(server, "POST", "/endpoints/shop/rotate", {"overlap_s": 600})
    assert (status, rotated["secrets"]) == (200, 2)
    ask(server, "POST", "/endpoints/shop/resume", {})
    until(lambda: len(example.events()) >= 4, "what waited, signed by the old secret too")
    example.stop()
    example.file.unlink()
    example.start(rotated["secret"])
    until(lambda: run("endpoints", "test", "shop")["verdict"] == "delivered", "the new secret holds alone")
    begun = run("replay", "shop", "--since-ms", "1")
    assert begun["until"]
    until(lambda: [e[2] for e in example.events()].count("message.single") == 3, "the replay")
    requests = ask(server, "GET", "/endpoints/shop/deliveries")[1]["deliveries"]
    assert any(each["replay"] and "m0" in each["request"] for each in requests)
    until(lambda: ask(server, "GET", "/endpoints/shop")[1]["replaying"] == "", "the replay is over")
    assert run("endpoints", "letters", "shop")["letters"] == []
    assert run("endpoints", "list")["endpoints"][0]["name"] == "shop"
    status, gone, _ = ask(server, "DELETE", "/endpoints/shop")
    assert status == 200, gone
    assert ask(server, "GET", "/endpoints/shop")[0] == 404

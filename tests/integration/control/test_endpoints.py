"""Operators steer the delivery of the event copy; a receiver of thirty lines has it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from control.outgoing.signing import make_secret
from program.cli.admin.endpoints import app as endpoints
from tests.support.event_copy.places import Example
from tests.support.server_process import ServerProcess, program

OPEN = {"outgoing.networks": ["127.0.0.0/8"], "outgoing.plain_http": True}
PATIENCE_S = 60


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
    made.kill()


def test_operators_make_test_pause_rotate_and_replay_an_endpoint(
    server: ServerProcess, example: Example
) -> None:
    url = server.admin_url.removesuffix("/v1/admin")
    key = server.first_api_key()

    def run(*words: str) -> Any:
        done = program("events", *words, "--url", url, "--api-key", key, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def is_taken() -> bool:
        done = program("events", "endpoints", "test", "shop", "--url", url, "--api-key", key, "--json")
        taken: bool = json.loads(done.stdout)["verdict"] == "delivered"
        assert done.returncode == (0 if taken else 1), done.stdout + done.stderr
        return taken

    made = run("endpoints", "add", "shop", example.url, "--kind", "message.*")
    assert not is_taken(), "nobody is there yet"
    assert made["secret"].startswith("whsec_")
    shown = ask(server, "GET", "/endpoints/shop")
    assert "secret" not in shown[1]
    assert shown[2]["ETag"]
    document = ask(server, "GET", "/audit")[1]
    assert made["secret"] not in json.dumps(document)
    example.receive(made["secret"])
    until(is_taken, "the receiver is there")
    assert example.events()[0]["kind"] == "endpoint.test"
    ask(server, "POST", "/endpoints/shop/pause", {})
    say(server, 0, 3)
    assert ask(server, "GET", "/endpoints/shop")[1]["state"] == "paused"
    status, rotated, _ = ask(server, "POST", "/endpoints/shop/rotate", {"overlap_s": 600})
    assert (status, rotated["secrets"]) == (200, 2)
    ask(server, "POST", "/endpoints/shop/resume", {})
    until(lambda: len(example.events()) >= 4, "what waited, signed by the old secret too")
    example.kill()
    example.file.unlink()
    example.receive(rotated["secret"])
    until(is_taken, "the new secret holds alone")
    begun = run("replay", "shop", "--since-ms", "1")
    assert begun["until"]
    until(lambda: [e["kind"] for e in example.events()].count("message.single") == 3, "the replay")
    requests = ask(server, "GET", "/endpoints/shop/deliveries")[1]["deliveries"]
    assert any(each["replay"] and "m0" in each["request"] for each in requests)
    until(lambda: ask(server, "GET", "/endpoints/shop")[1]["replaying"] == "", "the replay is over")
    assert run("endpoints", "letters", "shop")["letters"] == []
    assert run("endpoints", "list")["endpoints"][0]["name"] == "shop"
    status, gone, _ = ask(server, "DELETE", "/endpoints/shop")
    assert status == 200, gone
    assert ask(server, "GET", "/endpoints/shop")[0] == 404
    what_is_secret_comes_from_files(server, example)


def what_is_secret_comes_from_files(server: ServerProcess, example: Example) -> None:
    def run(*words: str, says: str | None = None) -> Result:
        return CliRunner().invoke(endpoints, [*words, "--data-dir", str(server.data_dir)], input=says)

    secret = make_secret(False)
    file = example.file.with_name("secret")
    file.write_text(secret + "\n", "utf-8")
    made = run("add", "own", example.url, "--secret-file", str(file), "--since-ms", "1", "--json")
    assert json.loads(made.stdout)["secret"] == secret, made.output
    example.kill()
    example.file.unlink()
    example.receive(secret)
    until(lambda: len(example.events()) >= 3, "from the first event on, signed by it")
    file.write_text(make_secret(False), "utf-8")
    rotated = run("rotate", "own", "--secret-file", str(file), "--json")
    assert json.loads(rotated.stdout)["secret"] == file.read_text("utf-8"), rotated.output
    nats = ("nats", "nats://127.0.0.1:4222/words")
    made = run("add", *nats, "--login-file", "-", "--json", says="user:word\n")
    assert json.loads(made.stdout)["has_login"], made.output
    assert json.loads(run("change", *nats, "--json").stdout)["has_login"], "it stays"
    refused = run("change", *nats, "--login-file", "-", says="no colon")
    assert (refused.exit_code, "user:password" in refused.stderr) == (2, True), refused.output
    assert run("add", *nats, "--login-file", "-", says="\n").exit_code == 2
    for words in (("letters", "none"), ("remove", "none"), ("test", "none")):
        assert run(*words).exit_code != 0, words
    shown = run("show", "own").stdout
    assert f"made_at: {datetime.now(UTC):%Y}-" in shown, shown
    assert run("remove", "own").exit_code == 0

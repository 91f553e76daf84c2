"""`qianwan accounts` and the routes for app servers, on a running server: from the import to the receipt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from program.cli.commands import program_of
from tests.support.server_process import ServerProcess

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), admin="127.0.0.1:0") as running:
        yield running


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    headers = {"X-API-Key": server.first_api_key()}
    with httpx.Client(base_url=server.url + "/v1", headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def run(server: ServerProcess) -> Run:
    """A command with --json. -> (exit code, its answer, standard error)"""

    def ran(*words: str) -> tuple[int, Any, str]:
        where = ("--url", server.admin_url, "--api-key", server.first_api_key(), "--json")
        done = CliRunner().invoke(program_of(["accounts"]), ["accounts", *words, *where])
        lines = done.stdout.strip()
        return done.exit_code, json.loads(lines) if lines.startswith("{\n") else lines, done.stderr

    return ran


def test_an_import_from_a_file_goes_on_where_it_broke_off(run: Run, tmp_path: Path) -> None:
    lines = [json.dumps({"user": f"imp{n}", "nick": f"N{n}"}) for n in range(120)] + ["plain-id", "", "b a d"]
    (tmp_path / "people").write_text("\n".join(lines))
    code, counts, said = run("import", str(tmp_path / "people"))
    assert (code, counts) == (1, {"created": 121, "invalid": 1}), said
    assert "b a d: invalid" in said
    code, counts, said = run("import", str(tmp_path / "people"), "--skip", "100")
    assert (code, counts) == (1, {"exists": 21, "invalid": 1}), said
    (tmp_path / "people").write_text('{"user": ')
    assert run("import", str(tmp_path / "people"))[0] == 2
    assert len(run("list", "--created-since-ms", "1")[1]["accounts"]) == 121


def test_an_account_is_exported_and_erased_and_its_receipt_stays(
    run: Run, http: httpx.Client, server: ServerProcess
) -> None:
    assert http.post("/users", json={"user": "zed", "nick": "Zed"}).status_code == 201
    assert http.post("/users", json={"user": "zed"}).status_code == 409
    for n in range(3):
        body = {"sender": "zed", "target": "u/imp1", "body": {"text": f"qxmark {n}"}}
        assert http.post("/messages", json=body).is_success
    code, lines, _ = run("export", "zed")
    exported = [json.loads(line) for line in lines.splitlines()]
    assert (code, [line["kind"] for line in exported].count("message")) == (0, 3)
    assert http.get("/users/zed/export").json()["lines"] == exported
    assert run("erase", "zed")[0] == 2, "not without --yes"
    code, receipt, said = run("erase", "zed", "--yes", "--wait-s", "60")
    assert (code, receipt["state"], receipt["erased"]["messages"]) == (0, "erased", 3), said
    assert http.get("/users/zed/erasure").json() == receipt
    assert http.get("/erasures").json()["erasures"] == [receipt] == run("erasures")[1]["erasures"]
    assert http.post("/tokens", json={"user": "zed"}).status_code == 403
    assert http.get("/users/zed").json()["state"] == "erased"
    assert "qxmark" not in http.get("/history", params={"conversation": "s/imp1:zed"}).text
    headers = {"X-API-Key": server.first_api_key()}
    audit = httpx.get(f"{server.admin_url}/audit", params={"what": "accounts.erase"}, headers=headers).json()
    assert {entry["outcome"] for entry in audit["entries"]} == {"begun", "done"}
    assert {entry["ids"]["user"] for entry in audit["entries"]} == {"zed"}


def test_accounts_are_disabled_deleted_and_taken_back(run: Run, http: httpx.Client) -> None:
    assert run("create", "yan", "--nick", "Yan")[1]["state"] == "live"
    assert run("disable", "yan", "--seconds", "600")[1]["disabled_until_ms"] > 0
    assert http.post("/tokens", json={"user": "yan"}).status_code == 403
    assert run("enable", "yan")[1]["disabled_until_ms"] == 0
    assert run("delete", "yan")[1]["state"] == "deleted"
    assert run("list", "--state", "deleted")[1]["accounts"][0]["user"] == "yan"
    body = {"sender": "imp1", "target": "u/yan", "body": {"text": "x"}}
    assert http.post("/messages", json=body).status_code == 404
    assert run("restore", "yan")[1]["state"] == "live"
    assert run("show", "yan")[1]["state"] == "live"
    assert http.post("/messages", json=body).is_success
    assert run("restore", "nobody-there")[0] == 1

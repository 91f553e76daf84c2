"""Commands of an operator beside a server of another user: root's leave everything to that user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import NOBODY, as_nobody, owned
from tests.support.server_process import START_TIMEOUT_S, ServerProcess, program
from tests.support.tree import ROOT
from tests.support.untested import untested_here


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Of the user NOBODY, where this is root."""
    with tempfile.TemporaryDirectory(prefix="qianwan-beside-") as place:
        Path(place).chmod(0o755)
        data = owned(Path(place) / "state", 0o700)
        made = ServerProcess(tmp_path_factory.mktemp("logs"), wrapper=as_nobody())
        made.arguments = ("--data-dir", str(data))
        with made:
            yield made


def data_of(server: ServerProcess) -> Path:
    return Path(server.arguments[1])


def command(server: ServerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    addresses = {
        "QIANWAN_CONTROL__HTTP": f"127.0.0.1:{server.http_port}",
        "QIANWAN_GATEWAY__LISTEN": f"127.0.0.1:{server.gateway_port}",
    }
    return program(*words, "--data-dir", str(data_of(server)), **addresses)


def test_what_root_changes_beside_a_server_is_taken_over_by_it(server: ServerProcess) -> None:
    created = command(server, "api-key", "create", "shop")
    assert created.returncode == 0, created.stderr
    key = created.stdout.strip()
    server.wait_for(lambda: server.post("/v1/tokens", {"user": "ann"}, key)[0] == 201, "the key is known")
    for words in (
        ("keys", "rotate", "server"), ("keys", "rotate", "token"), ("keys", "list"), ("api-key", "list"),
        ("token", "--user", "ann"), ("store", "restored"),
    ):  # fmt: skip
        ran = command(server, *words)
        assert ran.returncode == 0, (words, ran.stderr)
    findings = json.loads(command(server, "doctor", "--json").stdout)
    assert [item for item in findings if item["level"] == "red"] == []
    uid = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert {path.stat().st_uid for path in data_of(server).rglob("*")} == {uid}
    server.restart()
    assert server.post("/v1/tokens", {"user": "ann"}, key)[0] == 201


def test_a_first_key_that_root_makes_is_the_servers(server: ServerProcess) -> None:
    with tempfile.TemporaryDirectory(prefix="qianwan-beside-") as place:
        Path(place).chmod(0o755)
        data = owned(Path(place) / "state", 0o700)
        assert program("api-key", "create", "shop", "--data-dir", str(data)).returncode == 0
        owners = {path.stat().st_uid for path in (data, *data.rglob("*"))}
        assert owners == {NOBODY if os.geteuid() == 0 else os.geteuid()}


def test_serve_of_root_is_refused_on_the_folder_of_another_user(
    server: ServerProcess, tmp_path: Path
) -> None:
    if untested_here("" if os.geteuid() == 0 else "only root may be somebody else"):
        return
    intruder = ServerProcess(tmp_path)
    intruder.arguments = server.arguments
    intruder.start(wait=False)
    assert intruder.process is not None
    assert intruder.process.wait(START_TIMEOUT_S) == 3
    assert f"belongs to user {NOBODY}: run the server as that user" in intruder.log()
    assert server.get("/readyz")[0] == 200


def test_who_is_neither_is_told_whose_it_is_and_to_restore_nothing(server: ServerProcess) -> None:
    if untested_here("" if os.geteuid() == 0 else "only root may be somebody else"):
        return
    stranger = ("setpriv", "--reuid=10002", "--regid=10002", "--clear-groups")
    data = data_of(server)
    for words in (("doctor",), ("token", "--user", "ann"), ("api-key", "list"), ("chat", "ann", "bob")):
        ran = subprocess.run(
            [*stranger, sys.executable, "-m", "program", *words, "--data-dir", str(data)],
            cwd=ROOT, env={**os.environ, "COLUMNS": "400"}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        told = ran.stdout + ran.stderr
        assert ran.returncode == 1, (words, told)
        assert "Traceback" not in told, words
        assert f"belongs to user {NOBODY}" in told or "Permission denied" in told, (words, told)
        assert "backup" not in told.lower(), words

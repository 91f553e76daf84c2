"""`qianwan doctor`: red where `serve` refuses, green beside a server that runs, and it changes nothing."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import apsw
import pytest

from tests.support.server_process import START_TIMEOUT_S, ServerProcess, free_ports, program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that ran and was stopped."""
    folder = tmp_path_factory.mktemp("used")
    with ServerProcess(folder):
        pass
    return folder


def asked(server: ServerProcess, **settings: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """(exit code, check -> (level, found)) of the doctor with the settings of this server."""
    shown = program(
        "doctor", "--data-dir", str(server.data_dir), "--json",
        QIANWAN_CONTROL__HTTP=f"127.0.0.1:{server.http_port}",
        QIANWAN_GATEWAY__LISTEN=f"127.0.0.1:{server.gateway_port}",
        **settings,
    )  # fmt: skip
    assert shown.stdout, shown.stderr
    findings = json.loads(shown.stdout)
    return shown.returncode, {item["check"]: (item["level"], item["found"]) for item in findings}


def red(findings: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {check: found for check, (level, found) in findings.items() if level == "red"}


def test_it_is_content_here_and_says_what_it_looked_at(tmp_path: Path) -> None:
    code, findings = asked(ServerProcess(tmp_path / "data"))
    assert (code, red(findings)) == (0, {})
    wanted = (
        "open files (RLIMIT_NOFILE)|data folder|keys|descriptors|store|HTTP port|client port|SQLite|C modules"
    )
    assert set(wanted.split("|")) <= set(findings)
    assert list((tmp_path / "data").iterdir()) == [], "it makes nothing"


def test_it_is_green_beside_a_running_server_and_leaves_it_alone(server: ServerProcess) -> None:
    before = server.log()
    code, findings = asked(server)
    assert (code, red(findings)) == (0, {})
    for port in ("HTTP port", "client port"):
        assert f"a server runs on this data folder (process {server.pid})" in findings[port][1]
    assert findings["store"][1] == "sqlite, up to date"
    assert findings["first API key"][0] == "yellow"
    assert server.get("/readyz")[0] == 200
    assert server.log() == before


def test_it_sees_a_key_file_that_others_can_read(server: ServerProcess) -> None:
    root = server.data_dir / "keys" / "root.json"
    root.chmod(0o644)
    try:
        code, findings = asked(server)
    finally:
        root.chmod(0o600)
    assert code == 1
    assert {"keys", "key file permissions"} <= set(red(findings))


def lost_root(server: ServerProcess, held: ExitStack) -> None:
    (server.data_dir / "keys" / "root.json").unlink()


def lost_keys(server: ServerProcess, held: ExitStack) -> None:
    (server.data_dir / "keys").rename(server.data_dir / "elsewhere")


def damaged_key(server: ServerProcess, held: ExitStack) -> None:
    (server.data_dir / "keys" / "root.json").write_text("{}")


def damaged_api_keys(server: ServerProcess, held: ExitStack) -> None:
    (server.data_dir / "keys" / "api-keys.json").write_text("[")


def newer_store(server: ServerProcess, held: ExitStack) -> None:
    conn = apsw.Connection(str(server.data_dir / "store.sqlite3"))
    conn.execute("INSERT INTO schema_migration VALUES (999, 'x', 'x', 0)")
    conn.close()


def no_store(server: ServerProcess, held: ExitStack) -> None:
    for suffix in ("-wal", "-shm"):
        (server.data_dir / f"store.sqlite3{suffix}").unlink(missing_ok=True)
    (server.data_dir / "store.sqlite3").write_bytes(b"no database " * 100)


def taken_http_port(server: ServerProcess, held: ExitStack) -> None:
    held.enter_context(socket.create_server(("127.0.0.1", server.http_port)))


def taken_client_port(server: ServerProcess, held: ExitStack) -> None:
    held.enter_context(socket.create_server(("127.0.0.1", server.gateway_port)))


def no_bus(server: ServerProcess, held: ExitStack) -> None:
    server.settings = {"bus.kind": "nats", "bus.nats_url": f"nats://127.0.0.1:{free_ports(1)[0]}"}


def no_postgres(server: ServerProcess, held: ExitStack) -> None:
    url = f"postgresql://qw:hunter2@127.0.0.1:{free_ports(1)[0]}/qw"
    server.settings = {"store.kind": "postgres", "store.url": url}


REFUSALS: dict[Callable[[ServerProcess, ExitStack], None], str] = {
    lost_root: "keys",
    lost_keys: "keys",
    damaged_key: "keys",
    damaged_api_keys: "keys",
    newer_store: "store",
    no_store: "store",
    taken_http_port: "HTTP port",
    taken_client_port: "client port",
    no_bus: "bus",
    no_postgres: "store",
}


@pytest.mark.parametrize("break_it", REFUSALS, ids=lambda function: function.__name__)
def test_what_serve_refuses_is_red(
    used: Path, fresh: ServerProcess, break_it: Callable[[ServerProcess, ExitStack], None]
) -> None:
    shutil.copytree(used, fresh.data_dir, dirs_exist_ok=True)
    with ExitStack() as held:
        break_it(fresh, held)
        variables = {
            f"QIANWAN_{key.replace('.', '__').upper()}": text for key, text in fresh.settings.items()
        }
        code, findings = asked(fresh, **variables)
        fresh.start(wait=False)
        assert fresh.process is not None
        assert fresh.process.wait(START_TIMEOUT_S * 2) == 3, "serve refuses"
    *before, why = fresh.log().splitlines()
    assert why.startswith("cannot start: "), "one line says why"
    assert not why.endswith(": ")
    assert not any("bus error" in line or "Traceback" in line for line in before)
    assert code == 1
    assert set(red(findings)) == {REFUSALS[break_it]}
    assert "hunter2" not in str(findings)


def test_a_folder_that_cannot_be_written_is_red(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, findings = asked(_in(tmp_path))
    assert code == 1
    assert "cannot be written to" in red(findings)["data folder"]


def _in(folder: Path) -> ServerProcess:
    server = ServerProcess(folder / "made")
    server.data_dir = folder / "file" / "data"
    return server


def test_lbs_files_and_port_are_judged_as_a_start_would(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data")
    table = tmp_path / "tables.json"
    table.write_text('{"networks": [{"cidr": "10.0.0.0/8", "zone": "east"}]}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {
            "QIANWAN_CONTROL__LBS__TABLES": str(table),
            "QIANWAN_CONTROL__LBS__HTTP": f"127.0.0.1:{port}",
        }
        _, findings = asked(server, **settings)
        assert findings["LBS files"][0] == "green"
        assert list(red(findings)) == ["LBS port"]
    table.write_text('{"networks": [{"cidr": "10.0.0.1/8"}]}')
    _, findings = asked(server, **settings)
    assert "line 1 of networks" in red(findings)["LBS files"]

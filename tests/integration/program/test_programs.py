"""The small commands: config check, doctor, top, and a quick `--help`."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.support.server_process import ROOT, ServerProcess, program


def test_the_version_is_that_of_the_distribution() -> None:
    assert program("--version").stdout == f"qianwan {version('qianwan-server')}\n"


def test_help_lists_every_command() -> None:
    shown = program("--help")
    assert shown.returncode == 0
    for command in [
        "serve",
        "token",
        "config",
        "doctor",
        "keys",
        "api-key",
        "store",
        "chat",
        "demo",
        "bench",
        "top",
    ]:
        assert f" {command} " in shown.stdout


def test_the_program_imports_no_engine_until_it_runs() -> None:
    engines = ("fastapi", "nats", "apsw", "pydantic", "gateway_core.engine", "im_service.service")
    code = f"import sys, program.cli; print([name for name in {engines} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_config_print_shows_each_value_and_its_source(tmp_path: Path) -> None:
    config = tmp_path / "q.toml"
    config.write_text('[gateway]\nloops = 2\n[bus]\nnats_token = "fjord-ember-91"\n')
    shown = program("config", "print", "--config", str(config), "--json", QIANWAN_LOG__LEVEL="debug")
    assert shown.returncode == 0, shown.stderr
    values = json.loads(shown.stdout)
    assert values["gateway.loops"] == {"value": 2, "source": str(config)}
    assert values["log.level"] == {"value": "debug", "source": "QIANWAN_LOG__LEVEL"}
    assert values["store.kind"] == {"value": "sqlite", "source": "default"}
    assert "fjord" not in shown.stdout
    table = program("config", "print", "--config", str(config))
    assert "gateway.loops" in table.stdout
    checked = program("config", "check", "--config", str(config))
    assert (checked.returncode, "2 of them are not defaults" in checked.stdout) == (0, True)


def test_config_check_refuses_with_all_reasons_at_once(tmp_path: Path) -> None:
    config = tmp_path / "q.toml"
    config.write_text('[gateway]\nlopps = 2\nlisten = "x"\n[auth]\nbootstrap_api_key = "change-me"\n')
    shown = program("config", "check", "--config", str(config))
    assert shown.returncode == 2
    for reason in ("gateway.lopps: unknown key", "is not host:port", "sample secret"):
        assert reason in shown.stderr


def test_top_shows_the_stages_of_a_running_server(server: ServerProcess) -> None:
    shown = program("top", "--url", server.url, "--once", "--interval", "0.3")
    assert shown.returncode == 0, shown.stdout
    for stage in ("mailbox", "poll", "seal", "write"):
        assert stage in shown.stdout
    assert program("top", "--url", "http://127.0.0.1:9", "--once").returncode == 1

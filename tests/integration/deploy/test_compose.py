"""The compose file: valid, each process without any right, its variables settings that there are."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from control.settings.load import load_settings
from tests.support.deployment import DEPLOY, installed_here

FILE = DEPLOY / "compose.yml"
SAID = {"NATS_TOKEN": "a" * 48, "POSTGRES_PASSWORD": "b" * 48}
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
PROCESSES = {
    name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("qianwan:")
}
CLOSES_S = 13  # at most, after server.drain_timeout_s (OPERATIONS, Drain and stop)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def filled(text: str) -> str:
    """With the variables of the file .env, or the default of those that may be missing."""
    return re.sub(r"\$\{(\w+):([?-])([^}]*)\}", lambda m: SAID.get(m[1]) or m[3], text)


def test_it_is_a_compose_file() -> None:
    checked = subprocess.run(
        [installed_here("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(FILE)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_it_refers_to_is_there() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"], name
        for config in service.get("configs", []):
            assert config["source"] in COMPOSE["configs"], name
    members = {name for name in services if name.startswith("etcd-")}
    assert len(members) == len([name for name in services if name.startswith("nats-")]) == 3
    for name in members:
        cluster = next(word for word in services[name]["command"] if word.startswith("--initial-cluster="))
        assert set(re.findall(r"(etcd-\d)=", cluster)) == members
        assert f"--name={name}" in services[name]["command"]


def test_two_of_each_role_that_carries_messages() -> None:
    roles = [service["command"][-1] for service in PROCESSES.values()]
    assert sorted(roles) == ["control", "gateway", "gateway", "im", "im"]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_has_no_right_and_a_place_to_write(name: str) -> None:
    process = PROCESSES[name]
    assert process["read_only"] is True
    assert process["cap_drop"] == ["ALL"]
    assert process["security_opt"] == ["no-new-privileges:true"]
    assert process["volumes"] == ["data:/data"]
    assert process["ulimits"]["nofile"] >= 2**20


@pytest.mark.parametrize("name", PROCESSES)
def test_the_variables_of_a_process_are_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, text in PROCESSES[name]["environment"].items():
        monkeypatch.setenv(variable, filled(text))
    settings = load_settings(None, {"server.roles": [PROCESSES[name]["command"][-1]]})
    assert len(settings.etcd.endpoints) == 3
    assert not settings.server.node_id, "from etcd"
    assert seconds(PROCESSES[name]["stop_grace_period"]) >= settings.server.drain_timeout_s + CLOSES_S


def test_nothing_but_clients_is_let_in_from_outside() -> None:
    outside = {
        name: port
        for name, service in COMPOSE["services"].items()
        for port in service.get("ports", [])
        if not port.startswith("127.0.0.1:")
    }
    assert {name: port.rpartition(":")[2] for name, port in outside.items()} == {
        "gateway-1": "7801",
        "gateway-2": "7801",
    }

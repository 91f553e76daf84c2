"""The examples for machines: the systemd unit, and the container with its volume, both without any right."""

from __future__ import annotations

import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import DEPLOY, NOBODY, as_nobody, example, installed, owned
from tests.support.server_process import ServerProcess
from tests.support.tree import ROOT

INSTRUCTIONS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder on a path that everybody may walk, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="qianwan-deploy-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "qianwan"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "qianwan.service"
    unit.write_text(example("qianwan.service", {"/opt/qianwan/bin/qianwan": str(program)}))
    command = [installed("systemd-analyze"), "verify", "--man=no", str(unit)]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in verified.stderr.splitlines() if "qianwan" in line]
    assert complaints == []
    assert verified.returncode == 0, verified.stderr


def test_the_unit_starts_the_server_that_there_is(place: Path, tmp_path: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / "qianwan.service").read_text(), re.MULTILINE)
    _, command, *options = shlex.split(line)
    assert command == "serve"
    config = place / "qianwan.toml"
    config.write_text((DEPLOY / "qianwan.toml").read_text())
    data = owned(place / "state", 0o700)
    replaced = {"/etc/qianwan/qianwan.toml": str(config), "/var/lib/qianwan": str(data)}
    words = tuple(replaced.get(word, word) for word in options)
    with ServerProcess(tmp_path / "logs", arguments=words, wrapper=as_nobody()) as server:
        assert server.get("/readyz")[0] == 200
        assert (data / "store.sqlite3").exists()


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, the rest) of every line, continued ones joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def last_stage() -> dict[str, list[str]]:
    stage: dict[str, list[str]] = {}
    for instruction, rest in dockerfile():
        if instruction == "FROM":
            stage = {}
        stage.setdefault(instruction, []).append(rest)
    return stage


def test_the_dockerfile_is_made_of_instructions_and_copies_what_is_there() -> None:
    found = dockerfile()
    assert {instruction for instruction, _ in found} <= INSTRUCTIONS
    assert found[0][0] == "FROM"
    stages = [
        rest.split(" AS ")[1] for instruction, rest in found if instruction == "FROM" and " AS " in rest
    ]
    for instruction, rest in found:
        if instruction == "COPY" and (source := re.match(r"--from=(\S+)", rest)):
            assert source[1] in stages
    stage = last_stage()
    assert stage["USER"] == [f"{NOBODY}:{NOBODY}"], "by number, so that orchestrators see it is not root"
    assert stage["VOLUME"] == ["/data"]
    assert stage["STOPSIGNAL"] == ["SIGTERM"]
    for form in ("ENTRYPOINT", "CMD"):
        assert stage[form][0].startswith("["), "no shell between the signal and the server"
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        assert line.strip("/") != ".git", "the wheel is made of what git tracks"


@pytest.mark.parametrize("mode", [0o700, 0o777], ids=["own volume", "volume open to all"])
def test_the_container_keeps_all_it_has_in_its_volume_and_shows_no_key(
    place: Path, tmp_path: Path, mode: int
) -> None:
    """Its last stage, acted out: the environment, the user and the command, with a folder for the volume."""
    volume = owned(place / "volume", mode)
    variables = dict(
        word.split("=", 1) for line in last_stage()["ENV"] for word in shlex.split(line) if "QIANWAN" in word
    )
    assert variables.pop("QIANWAN_SERVER__DATA_DIR") == "/data"
    assert variables.pop("QIANWAN_CONTROL__HTTP") == "0.0.0.0:7800"
    assert variables.pop("QIANWAN_GATEWAY__LISTEN") == "0.0.0.0:7801"
    settings = {
        name.removeprefix("QIANWAN_").replace("__", ".").lower(): text for name, text in variables.items()
    }
    server = ServerProcess(tmp_path / "logs", settings, wrapper=as_nobody())
    server.arguments = (
        "--data-dir", str(volume), "--http", f"0.0.0.0:{server.http_port}",
        "--listen", f"0.0.0.0:{server.gateway_port}",
    )  # fmt: skip
    with server:
        key = volume / "first-api-key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert b"qwk_" not in server.out_file.read_bytes() + server.log_file.read_bytes()
        token = server.post("/v1/tokens", {"user": "alice"}, key.read_text().strip())
        assert token[0] == 201
        (check,) = re.findall(r"CMD (\[.*\])$", last_stage()["HEALTHCHECK"][0])
        code = re.findall(r'"-c", "(.*)"\]', check)[0].replace(":7800", f":{server.http_port}")
        assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
        assert server.stop(signal.SIGTERM) == 0
    server.start()
    assert not server.out_file.read_bytes().count(b"API key") > 1, "the volume has its keys"
    assert server.stop() == 0

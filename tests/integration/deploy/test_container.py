"""The example of a container: its image, and its volume, without any right."""

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

from tests.support.deployment import DEPLOY, NOBODY, as_nobody, installed_here, owned, read_only_but
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


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    found = subprocess.run(
        [installed_here("hadolint"), "--no-color", str(DEPLOY / "Dockerfile")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_image_has_the_program_and_no_tool_to_build_or_install() -> None:
    stage = last_stage()
    assert stage["COPY"] == ["--from=build /opt/qianwan /opt/qianwan"]
    assert not re.search(r"apt|pip|gcc|make|curl", " ".join(stage["RUN"]))
    assert any("pip uninstall" in rest for instruction, rest in dockerfile() if instruction == "RUN")


@pytest.mark.parametrize("mode", [0o700, 0o777], ids=["own volume", "volume open to all"])
def test_the_container_keeps_all_it_has_in_its_volume_and_shows_no_key(
    place: Path, tmp_path: Path, mode: int
) -> None:
    """Its last stage, acted out: the environment, the user, the command and a read-only root filesystem, with
    a folder for the volume.
    """
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
    server = ServerProcess(tmp_path / "logs", settings, wrapper=(*read_only_but(volume), *as_nobody()))
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

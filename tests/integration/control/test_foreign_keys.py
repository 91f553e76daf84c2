"""A process whose root key is not that of its cluster is refused at its start; the doctor says so before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nats_process import NatsProcess
from tests.support.server_process import ServerFailed, ServerProcess, doctor


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("cluster")
    with NatsProcess(folder) as nats:
        settings = {"bus.kind": "nats", "bus.nats_url": nats.url, "bus.beacon_s": 0.2, "server.node_id": 1}
        with ServerProcess(folder / "data", settings, "control") as running:
            yield running


def gateway(control: ServerProcess, folder: Path) -> ServerProcess:
    return ServerProcess(folder, {**control.settings, "server.node_id": 2}, "gateway")


def test_a_gateway_with_a_root_key_of_its_own_is_refused_with_one_line(
    control: ServerProcess, tmp_path: Path
) -> None:
    stranger = gateway(control, tmp_path / "fresh")
    level, found = doctor(stranger)["root key"]
    assert (level, "none here" in found) == ("red", True), "before it has made one"
    with pytest.raises(ServerFailed, match="left with 3"):
        stranger.start()
    assert "cannot start: the root key is not that of this cluster" in stranger.log()
    assert "Traceback" not in stranger.log()
    assert doctor(stranger)["root key"][0] == "red"
    assert control.get("/v1/lbs")[0] == 503, "it was announced to nobody"


def test_one_with_a_copy_of_the_keys_is_green_and_starts(control: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    shutil.copytree(control.data_dir / "keys", tmp_path / "data" / "keys")
    copied = gateway(control, tmp_path / "data")
    assert doctor(copied)["root key"][0] == "green"
    with ServerProcess(tmp_path / "im", {**control.settings, "server.node_id": 3}, "im"), copied:
        control.wait_for(lambda: control.get("/v1/lbs")[0] == 200, "it is handed out")

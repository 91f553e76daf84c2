"""`qianwan cluster`: a whole cluster comes up, is looked at, talks while a gateway is killed, and goes."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.ports import row_of_ports
from program.cluster.crowd import Crowd
from program.cluster.faults import Fault, inject
from program.cluster.health import Health
from program.cluster.local import LocalCluster
from program.cluster.partition import impossible
from program.cluster.plan import PORTS
from program.cluster.processes import postgres_left
from program.cluster.starts import Deaf, starts
from tests.support.server_process import ROOT, program

LONG_S = 240.0
NAMES = (
    *(f"{kind}-{number}" for kind in ("etcd", "nats") for number in (1, 2, 3)),
    "postgres",
    *(f"{kind}-{number}" for kind in ("control", "im", "gateway") for number in (1, 2)),
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One that the user of PostgreSQL can enter, which those of pytest are not."""
    made = Path(tempfile.mkdtemp(prefix="qw-cluster-"))
    made.chmod(0o755)
    yield made
    cluster("down", made)
    shutil.rmtree(made, ignore_errors=True)


@functools.cache
def first_port() -> int:
    return row_of_ports(PORTS)


def cluster(verb: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # These tests hold their ports while nobody listens there; an `up` that has ended holds none.
    ports = ["--first-port", str(first_port())] if verb == "up" else []
    command = [sys.executable, "-m", "program", "cluster", verb, "--folder", str(folder), *ports, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S, check=False)


def running(folder: Path) -> set[int]:
    """Processes whose command line or folder is in there."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if "cluster\0" not in words and (str(folder) in words or where.startswith(str(folder))):
            found.add(int(entry.name))
    return found


def looked(folder: Path) -> dict[str, Health]:
    return {each.name: each for each in LocalCluster(folder).status()}


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    shown = program("cluster", "up", "--folder", str(tmp_path / "c"), PATH=str(tmp_path))
    assert (shown.returncode, shown.stderr) == (1, "missing: apt-get install etcd-server\n")
    assert not (tmp_path / "c").exists()
    told = cluster("status", tmp_path / "c")
    assert (told.returncode, told.stderr.count("\n")) == (1, 1)
    assert "there is no cluster" in told.stderr


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    told = cluster("up", tmp_path)
    assert (told.returncode, "neither empty nor a cluster" in told.stderr) == (1, True)
    told = cluster("up", tmp_path / "mine")
    assert (told.returncode, told.stderr.count("\n"), "no folder can be made" in told.stderr) == (1, 1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_up_that_crashes_leaves_nothing_that_down_does_not_find(folder: Path) -> None:
    words = [sys.executable, "-m", "program", "cluster", "up", "--folder", str(folder)]
    words += ["--first-port", str(first_port())]
    half = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + LONG_S
    while not (folder / "run" / "nats-2.pid").exists():
        assert half.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    half.kill()
    half.wait()
    assert running(folder)
    assert cluster("down", folder).returncode == 0
    assert not running(folder)


def test_all_is_well_after_up_and_a_second_one_changes_nothing(folder: Path) -> None:
    up = cluster("up", folder)
    assert up.returncode == 0, up.stderr
    found = looked(folder)
    assert tuple(found) == NAMES
    assert all(each.well for each in found.values())
    assert sorted(found[f"etcd-{n}"].part for n in (1, 2, 3)) == ["follower", "follower", "leader"]
    assert found["postgres"].part == "primary"
    assert (folder / "cluster.json").stat().st_mode & 0o77 == 0
    assert cluster("up", folder).returncode == 0
    assert looked(folder) == found
    shown = cluster("status", folder, "--json")
    assert shown.returncode == 0
    assert {each["name"]: each["address"] for each in json.loads(shown.stdout)["processes"]} == {
        name: each.address for name, each in found.items()
    }
    nodes = program("nodes", "--config", str(folder / "qianwan.toml"), "--json")
    assert nodes.returncode == 0, nodes.stderr
    assert {each["name"] for each in json.loads(nodes.stdout)["nodes"]} == {
        name for name in NAMES if name.split("-")[0] in ("control", "im", "gateway")
    }


def test_the_demo_loses_nothing_though_a_gateway_is_killed(folder: Path) -> None:
    before = looked(folder)
    shown = cluster("demo", folder, "--users", "8", "--messages", "40")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert re.search(r"acked \d+, delivered \d+, lost 0, with gateway-2 killed", shown.stdout)
    after = looked(folder)
    assert {name for name in NAMES if after[name] != before[name]} == {"gateway-2"}
    assert after["gateway-2"].well


async def test_faults_while_people_send_cost_no_message_and_leave_nobody_deaf(folder: Path) -> None:
    """Three of those that `make faults` counts."""
    faults = [Fault("killed", ("im-1",)), Fault("restarted", ("nats-2", "gateway-1"))]
    if not impossible():
        faults.append(Fault("cut off", ("gateway-2",), 3.0, "etcd"))
    cluster = LocalCluster(folder)
    crowd = Crowd(cluster, size=8, pace_s=0.2)
    try:
        await crowd.come()
        for fault in faults:
            one = await inject(cluster, crowd, fault)
            assert one.clean, one
            assert one.acked
    finally:
        await crowd.go()


def test_a_postgres_that_stands_still_does_so_with_every_connection(folder: Path) -> None:
    cluster = LocalCluster(folder)
    cluster.freeze("postgres")
    try:
        found = [Path(f"/proc/{pid}/stat").read_text() for pid in postgres_left(folder / "postgres")]
        assert len(found) > 6
        assert {each.rpartition(")")[2].split()[0] for each in found} == {"T"}
    finally:
        cluster.go_on("postgres")
    cluster.await_well(cluster.processes)


async def test_nobody_is_deaf_who_comes_while_all_im_processes_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make faults` does it with many, who are asked later."""
    monkeypatch.setattr("program.cluster.starts.OVER_S", 0.0)
    assert await starts(LocalCluster(folder), users=6, times=1) == [Deaf(0, 0, 0)]


def test_what_was_killed_is_told_and_up_brings_it_back(folder: Path) -> None:
    before = looked(folder)
    os.kill(before["nats-1"].pid, signal.SIGKILL)
    told = cluster("status", folder)
    assert (told.returncode, "does not run" in told.stdout) == (1, True)
    assert cluster("up", folder).returncode == 0
    after = looked(folder)
    assert all(each.well for each in after.values())
    assert {name for name in NAMES if after[name].pid != before[name].pid} == {"nats-1"}


def test_down_leaves_nothing_running_and_keeps_the_data_until_they_are_purged(folder: Path) -> None:
    assert cluster("down", folder).returncode == 0
    assert not running(folder)
    assert (folder / "postgres" / "PG_VERSION").exists()
    assert cluster("down", folder, "--purge").returncode == 0
    assert not folder.exists()

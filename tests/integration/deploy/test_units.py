"""The systemd units: no finding of systemd's own tools, and the program does all its work in their sandbox,
which is acted out by tests/support/sandbox.py (no systemd runs in a container).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import qianwan

from control.settings import Settings
from control.settings.load import load_settings
from tests.support.chat_world import EAGER, root_of
from tests.support.deployment import DEPLOY, as_nobody, installed, owned, read_only_but
from tests.support.etcd_cluster import EtcdCluster
from tests.support.nats_process import NatsProcess
from tests.support.sandbox import service
from tests.support.server_process import ServerProcess
from tests.support.tree import ROOT

ALL_IN_ONE = DEPLOY / "systemd" / "qianwan.service"
TEMPLATE = DEPLOY / "systemd" / "qianwan@.service"
ROLES = ("gateway", "im", "control")
MOST_EXPOSED = 15  # in tenths, of the scale of systemd-analyze: 100 is a unit that says nothing
PROGRAM = "/opt/qianwan/bin/qianwan"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder on a path that everybody may walk, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="qianwan-deploy-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def named(unit: Path, folder: Path, program: str = PROGRAM) -> Path:
    """The unit as systemd sees it: a template with its instance."""
    copy = folder / unit.name.replace("@.", "@gateway.")
    copy.write_text(unit.read_text().replace(PROGRAM, program))
    return copy


def sandboxed(unit: Path, state: Path) -> tuple[str, ...]:
    """Words before a command."""
    filtered = (sys.executable, "-m", "tests.support.sandbox", "filter", str(unit), "--")
    return (*read_only_but(state), *as_nobody(), *filtered)


@pytest.mark.parametrize("unit", [ALL_IN_ONE, TEMPLATE], ids=["all in one", "a role"])
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "qianwan"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    command = [installed("systemd-analyze"), "verify", "--man=no", str(named(unit, tmp_path, str(program)))]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    complaints = [line for line in verified.stderr.splitlines() if "qianwan" in line]
    assert complaints == []
    assert verified.returncode == 0, verified.stderr


@pytest.mark.parametrize("unit", [ALL_IN_ONE, TEMPLATE], ids=["all in one", "a role"])
def test_systemd_counts_a_unit_as_little_exposed(unit: Path, tmp_path: Path) -> None:
    command = [
        installed("systemd-analyze"), "security", "--offline=true", "--no-pager",
        f"--threshold={MOST_EXPOSED}", str(named(unit, tmp_path)),
    ]  # fmt: skip
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert judged.returncode == 0, judged.stdout[-2000:] + judged.stderr


def test_both_units_differ_in_what_they_start_alone() -> None:
    one, role = service(ALL_IN_ONE), service(TEMPLATE)
    for wanted in (one, role):
        del wanted["ExecStart"], wanted["EnvironmentFile"]
    assert one == role


def test_a_stop_may_take_what_a_drain_takes() -> None:
    drain_s = Settings().server.drain_timeout_s
    for unit in (ALL_IN_ONE, TEMPLATE):
        assert int(service(unit)["TimeoutStopSec"][0]) >= drain_s + 13 + 7


def test_the_variables_of_each_role_are_settings_and_ports_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports = set()
    for role in ROLES:
        text = (DEPLOY / "systemd" / f"{role}.env").read_text()
        variables = dict(re.findall(r"^#?(QIANWAN_\w+)=(.*)$", text, re.MULTILINE))
        with monkeypatch.context() as patched:
            for name, value in variables.items():
                patched.setenv(name, value)
            if "QIANWAN_STORE__URL" in variables:
                patched.setenv("QIANWAN_STORE__KIND", "postgres")
            ports.add(load_settings(None, {}).control.http)
    assert len(ports) == len(ROLES)


def test_the_sandbox_of_the_tests_is_closed(place: Path) -> None:
    """What a unit takes away is away here, too; else the tests below would show nothing."""
    state = owned(place / "state", 0o700)
    tries = {
        "memory that is written and run": "import mmap; mmap.mmap(-1, 4096, prot=7)",
        "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "ownership": f"import os; os.chown({str(state)!r}, -1, -1)",
        "a new namespace": "import ctypes; exit(ctypes.CDLL(None).unshare(0x10000000))",
        "priority": "import os; os.setpriority(os.PRIO_PROCESS, 0, 5)",
    }
    if os.geteuid() == 0:
        tries["a file elsewhere"] = "open('/var/tmp/qianwan', 'w')"
    for what, code in tries.items():
        ran = subprocess.run(
            [*sandboxed(ALL_IN_ONE, state), sys.executable, "-c", code],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ran.returncode != 0, what
        assert "Errno" in ran.stderr or what == "a new namespace", ran.stderr
    code = f"open({str(state / 'file')!r}, 'w').write('here it may')"
    subprocess.run(
        [*sandboxed(ALL_IN_ONE, state), sys.executable, "-c", code], cwd=ROOT, timeout=60, check=True
    )


def talks(ask: ServerProcess, gateway: ServerProcess, state: Path) -> None:
    """Two people log in, and one hears the other."""
    key, root = (state / "first-api-key").read_text().strip(), root_of(ask)
    address = "{}:{}".format(*gateway.gateway)

    def client(user: str) -> qianwan.Client:
        status, answer = ask.post("/v1/tokens", {"user": user}, key)
        assert status == 201, answer
        return qianwan.Client(address, token=answer["token"], root_key=root, device_id="phone", backoff=EAGER)

    async def talk() -> None:
        async with client("ann") as ann, client("bob") as bob:
            await ann.send("bob", "out of the sandbox")
            async with asyncio.timeout(20):
                async for message in bob.messages():
                    if message.text == "out of the sandbox":
                        return

    asyncio.run(talk())


def test_all_in_one_does_its_work_in_the_sandbox(place: Path, tmp_path: Path) -> None:
    (line,) = service(ALL_IN_ONE)["ExecStart"]
    _, command, *options = shlex.split(line)
    assert command == "serve"
    config = place / "qianwan.toml"
    config.write_text((DEPLOY / "qianwan.toml").read_text())
    state = owned(place / "state", 0o700)
    replaced = {"/etc/qianwan/qianwan.toml": str(config), "/var/lib/qianwan": str(state)}
    words = tuple(replaced.get(word, word) for word in options)
    server = ServerProcess(tmp_path / "logs", arguments=words, wrapper=sandboxed(ALL_IN_ONE, state))
    with server:
        assert server.get("/readyz")[0] == 200
        assert (state / "store.sqlite3").exists()
        talks(server, server, state)
        assert server.metrics()["process_open_fds"] > 0, "ProcSubset=pid would hide what these begin with"
        assert server.stop(signal.SIGTERM) == 0
    assert "Traceback" not in server.log()


def test_each_role_does_its_work_in_the_sandbox(place: Path, tmp_path: Path) -> None:
    """Over NATS and etcd, with one folder of state for all and two gateway workers: forks, gRPC, TCP."""
    state = owned(place / "state", 0o700)
    (line,) = service(TEMPLATE)["ExecStart"]
    assert shlex.split(line)[1:4] == ["serve", "--role", "%i"]
    with NatsProcess(tmp_path) as nats, EtcdCluster(tmp_path / "etcd", size=1) as etcd:
        etcd.wait()
        settings = {
            "bus.kind": "nats",
            "bus.nats_url": nats.url,
            "etcd.endpoints": json.dumps(list(etcd.endpoints)),
        }

        def process(role: str, **more: object) -> ServerProcess:
            return ServerProcess(
                tmp_path / role, settings | more, role,
                arguments=("--data-dir", str(state)), wrapper=sandboxed(TEMPLATE, state),
            )  # fmt: skip

        workers = {"gateway.processes": 2, "gateway.same_port": True}
        with process("control") as control, process("im") as im, process("gateway", **workers) as gateway:
            control.wait_for(lambda: control.get("/readyz")[0] == 200, "an im process is heard")
            talks(control, gateway, state)
            assert gateway.stop(signal.SIGTERM) == 0
            assert im.metrics()["qianwan_etcd_up"] == 1

"""Real packets over the emulated wire, and nothing of it left behind. Where networks cannot be made, the
reason is said, and that is all these tests look at.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmarks.cli.commands import app
from benchmarks.machine import ROOT
from benchmarks.report.page import KEYS
from benchmarks.weaknet.mqtt import Mosquitto
from benchmarks.weaknet.namespaces import FOLDER, NetworkRefused, name_of, refusal, sweep
from benchmarks.weaknet.network import GOOD, Network
from benchmarks.weaknet.ours import Qianwan
from benchmarks.weaknet.profiles import Profile, load
from benchmarks.weaknet.run import WeakOptions, run_one
from benchmarks.weaknet.suite import SYSTEMS, failures, figure_of
from benchmarks.weaknet.system import System
from benchmarks.weaknet.websocket import WebSocket
from tests.support.untested import untested_here

PROFILES = load()
PORT = 9000


@contextmanager
def line_of(profile: Profile, phone: int = 3) -> Iterator[tuple[Network, socket.socket, socket.socket]]:
    """The network, and both ends of a connection of this phone: its own and the server's."""
    with Network(profile) as network:
        with network.inside("server"):
            listener = socket.create_server(("0.0.0.0", PORT))
        with network.inside("phones"):
            mine = socket.create_connection((network.address(phone), PORT), timeout=5)
        with listener, mine, listener.accept()[0] as theirs:
            theirs.settimeout(5)
            yield network, mine, theirs


def seconds(one: socket.socket, other: socket.socket) -> float:
    began = time.monotonic()
    one.sendall(b"x")
    assert other.recv(10) == b"x"
    return time.monotonic() - began


def test_where_networks_are_refused_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(NetworkRefused, match="need root"), Network(PROFILES["P0"]):
        pass


def test_a_system_that_is_not_there_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    for name in ("mosquitto", "socketio"):
        assert "install" in (SYSTEMS[name].missing() or "")


def test_a_line_delays_cuts_and_moves() -> None:
    if untested_here(refusal()):
        return
    slow = replace(PROFILES["P0"], down=replace(PROFILES["P0"].down, delay_ms=120))
    with line_of(slow) as (network, mine, theirs):
        assert seconds(mine, theirs) < 0.1
        assert seconds(theirs, mine) >= 0.12
        with network.inside("phones"), socket.create_connection((GOOD, PORT), timeout=5) as good:
            assert good.getpeername()[0] == GOOD
        assert network.established(3) == 1
        sent = network.counts()[3]
        assert sent.up.bytes >= sent.up.packets * 52
        assert sent.down.lost == 0
        network.move()
        mine.sendall(b"y")
        theirs.settimeout(0.5)
        with pytest.raises(TimeoutError):
            theirs.recv(10)
        with network.inside("phones"), socket.create_connection((network.address(3), PORT), 5) as again:
            assert again.getsockname()[0] == "10.97.0.3"


def test_a_nat_forgets_what_is_silent_and_says_nothing() -> None:
    if untested_here(refusal()):
        return
    nat = replace(PROFILES["P0"], nat_timeouts_s=(1.0,))
    with line_of(nat) as (_, mine, theirs):
        assert theirs.getpeername()[0] == "10.96.0.1"
        assert seconds(theirs, mine) < 0.5
        time.sleep(2.5)  # the promise is about silence
        theirs.sendall(b"late")
        mine.settimeout(0.7)
        with pytest.raises(TimeoutError):
            mine.recv(10)


def test_networks_go_with_their_run_also_when_it_was_killed() -> None:
    if untested_here(refusal()):
        return
    with Network(PROFILES["P0"]):
        assert (FOLDER / name_of("server")).exists()
    assert not (FOLDER / name_of("server")).exists()
    program = (
        "import time\nfrom benchmarks.weaknet.network import Network\n"
        "from benchmarks.weaknet.profiles import load\n"
        "with Network(load()['P0']):\n    print('made', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"made\n"
        left = {path.name for path in FOLDER.glob(f"qwn-{other.pid}-*")}
        assert len(left) == 3
        assert left.isdisjoint(sweep()), "of a run that goes on"
        other.send_signal(signal.SIGKILL)
    assert left <= set(sweep())
    assert not left & {path.name for path in FOLDER.glob("qwn-*")}


@pytest.mark.parametrize("kind", [Mosquitto, WebSocket])
def test_a_rival_comes_back_on_the_same_wire(kind: type[System]) -> None:
    if untested_here(refusal() or kind.missing()):
        return
    row = run_one(PROFILES, "P0", "W4", kind, WeakOptions(phones=1, seconds=2.0, settle_s=2.0))
    assert row["drops"] == row["returns"] == 1
    assert row["first_ms"]["max"] > 0
    assert row["passed"]


def test_who_comes_back_over_a_bad_line_has_everything_once() -> None:
    if untested_here(refusal()):
        return
    options = WeakOptions(phones=2, seconds=3.0, settle_s=20.0)
    row = run_one(PROFILES, "P2", "W4", Qianwan, options)
    assert row["passed"], row
    assert (row["lost"], row["doubled"]) == (0, 0)
    assert row["drops"] >= 2
    assert row["resumed"] == row["returns"] >= 2
    assert 200 <= row["first_ms"]["p50"] < 5000
    assert not failures([row])
    assert failures([{**row, "passed": False, "lost": 1}]) == ["P2 W4 qianwan: 1 lost, 0 doubled"]
    figure = figure_of("qianwan bench weaknet", [row])
    assert [figure[key] for key in ("lost", "duplicated", "connections")] == [0, 0, 2]
    assert set(KEYS) <= set(figure)


def test_the_command_names_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner()
    unknown = run.invoke(app, ["weaknet", "--profile", "P3,P77"])
    assert unknown.exit_code == 2
    assert "P77" in unknown.output
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run.invoke(app, ["weaknet", "--short"]).exit_code == 3

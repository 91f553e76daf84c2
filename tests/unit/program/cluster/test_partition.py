"""What the firewall is told to cut a process off, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from program.cluster.partition import MARK, Way, heal, hearing_lost, impossible, left, parted, words_lost
from program.cluster.plan import FIRST_GROUP, ClusterError, Planned
from tests.support.server_process import ROOT
from tests.support.untested import untested_here

SAYS = ["-p", "tcp", "-m", "owner", "--gid-owner", "7", "--suppl-groups"]


OTHER = """
import os, sys
from program.cluster.partition import left, parted
from program.cluster.plan import Planned
one, other = (Planned("x", "nats", f"127.0.0.1:{port}") for port in (1, 2))
with parted(one, os.getpid(), [other], "both", 1):
    print(len(left()), flush=True)
    sys.stdin.read()
"""


def planned(port: int) -> Planned:
    return Planned("x", "nats", f"127.0.0.1:{port}")


def test_what_a_process_says_is_known_by_its_group_and_what_it_is_told_by_its_ports() -> None:
    assert words_lost(7, [], "out") == [["OUTPUT", *SAYS]]
    assert words_lost(7, [5], "both") == [["OUTPUT", *SAYS, "-m", "multiport", "--dports", "5"]]
    told = ["INPUT", "-p", "tcp", "-m", "multiport", "--dports", "8,9", "-m", "multiport", "--sports", "5"]
    assert hearing_lost({5: [8, 9]}) == [told]
    assert hearing_lost({0: [8, 9]}) == [told[:7]], "where it listens, from anywhere"


def test_who_is_told_nothing_opens_no_connection_and_says_what_it_likes_on_open_ones() -> None:
    assert words_lost(7, [5], "in") == [["OUTPUT", *SAYS, "-m", "multiport", "--dports", "5", "--syn"]]


def test_a_rule_has_as_many_ports_as_iptables_takes() -> None:
    found = hearing_lost({0: list(range(1, 32))})
    assert [each[-1].count(",") + 1 for each in found] == [15, 15, 1]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_nothing_is_left_however_it_ends(error: type[BaseException] | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one, other = planned(1), planned(server.getsockname()[1])
        if untested_here(impossible()):
            with pytest.raises(ClusterError, match="cut off"), parted(one, os.getpid(), [other], "both", 1):
                raise AssertionError("it was said to be impossible")
            return
        with contextlib.suppress(KeyboardInterrupt), parted(one, os.getpid(), [other], "both", 1):
            assert left()
            if error:
                raise error
    assert left() == []


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("way", ["both", "in", "out"])
def test_nothing_comes_through_though_the_connection_was_there_before(
    family: socket.AddressFamily, way: Way
) -> None:
    """An IPv6 socket with an IPv4 address is what grpc has."""
    if untested_here(impossible()):
        return
    group = 1_234_567
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(family) as client:
        port = server.getsockname()[1]
        one, other = planned(group - FIRST_GROUP), planned(port)
        before = os.getgroups()
        os.setgroups([*before, group])
        try:
            fresh = socket.socket(family)
            client.close()
        finally:
            os.setgroups(before)
        with fresh, contextlib.ExitStack() as stack:
            fresh.settimeout(0.3)
            fresh.connect(("::ffff:127.0.0.1" if family == socket.AF_INET6 else "127.0.0.1", port))
            peer = stack.enter_context(server.accept()[0])
            peer.settimeout(0.3)
            with parted(one, os.getpid(), [other], way, 1):
                fresh.send(b"a")
                peer.send(b"b")
                assert arrives(peer) == (way == "in")
                assert arrives(fresh) == (way == "out")


def arrives(end: socket.socket) -> bool:
    try:
        return bool(end.recv(1))
    except TimeoutError:
        return False


def test_another_connection_with_the_same_port_at_its_end_goes_on() -> None:
    """The kernel gives one port to several connections that go to different places."""
    if untested_here(impossible()):
        return
    with contextlib.ExitStack() as stack:
        ours, others = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        ends = []
        for server in (ours, others):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind(("127.0.0.1", ends[0].getsockname()[1] if ends else 0))
            client.connect(server.getsockname())
            client.settimeout(0.3)
            ends.append(client)
        peers = [stack.enter_context(server.accept()[0]) for server in (ours, others)]
        one, other = planned(1), planned(ours.getsockname()[1])
        with parted(one, os.getpid(), [other], "in", 1):
            for peer in peers:
                peer.send(b"x")
            assert [arrives(client) for client in ends] == [False, True]


def test_rules_of_another_run_stay_while_it_runs_and_go_when_it_is_gone() -> None:
    if untested_here(impossible()):
        return
    words = [sys.executable, "-c", OTHER]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        heal()
        assert len(rules_of(other.pid)) == 1
        other.kill()
    assert len(left()) == 1
    heal()
    assert rules_of(other.pid) == []


def rules_of(pid: int) -> list[str]:
    shown = subprocess.run(["/usr/sbin/iptables", "-w", "-S"], capture_output=True, text=True, check=True)
    return [line for line in shown.stdout.splitlines() if f"{MARK}:{pid}" in line]

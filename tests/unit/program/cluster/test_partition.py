"""What the firewall is told to cut a process off, and that nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from program.cluster.partition import impossible, left, parted, rules
from program.cluster.plan import ClusterError, Planned

SAYS = ["-p", "tcp", "-m", "owner", "--gid-owner", "7", "--suppl-groups"]


def planned(port: int) -> Planned:
    return Planned("x", "nats", f"127.0.0.1:{port}")


def test_what_a_process_says_is_known_by_its_group_and_what_it_is_told_by_its_ports() -> None:
    assert rules(7, [], [], "out") == [["OUTPUT", *SAYS]]
    assert rules(7, [5], [], "both") == [["OUTPUT", *SAYS, "-m", "multiport", "--dports", "5"]]
    told = ["INPUT", "-p", "tcp", "-m", "multiport", "--dports", "8,9", "-m", "multiport", "--sports", "5"]
    assert rules(7, [5], [8, 9], "in") == [told]
    assert rules(7, [5], [8, 9], "out") == []


def test_who_is_told_nothing_opens_no_connection_and_says_what_it_likes_on_open_ones() -> None:
    assert rules(7, [5], [], "in") == [["OUTPUT", *SAYS, "-m", "multiport", "--dports", "5", "--syn"]]


def test_a_rule_has_as_many_ports_as_iptables_takes() -> None:
    found = rules(7, [], list(range(1, 32)), "in")
    assert [each[-1].count(",") + 1 for each in found] == [15, 15, 1]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_nothing_is_left_however_it_ends(error: type[BaseException] | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one, other = planned(1), planned(server.getsockname()[1])
        if impossible():
            with pytest.raises(ClusterError, match="cut off"), parted(one, os.getpid(), [other], "both", 1):
                raise AssertionError("it was said to be impossible")
            return
        with contextlib.suppress(KeyboardInterrupt), parted(one, os.getpid(), [other], "both", 1):
            assert left()
            if error:
                raise error
    assert left() == []

"""Ports for servers that are started beside one another."""

from __future__ import annotations

import socket
import subprocess
import sys

from benchmarks.ports import BLOCK, row_of_ports
from tests.support.tree import ROOT

ASK = "from benchmarks.ports import row_of_ports; print(*(row_of_ports(1) for _ in range(100))); input()"


def test_no_two_processes_are_given_the_same_port() -> None:
    asking = [
        subprocess.Popen([sys.executable, "-c", ASK], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    given = [set(process.stdout.readline().split()) for process in asking if process.stdout]
    for process in asking:
        process.communicate(b"\n", timeout=10)
    assert [len(ports) for ports in given] == [100] * 4, "none twice"
    assert len(set.union(*given)) == 400


def test_a_row_goes_around_a_port_that_is_in_use() -> None:
    first = row_of_ports(1)
    with socket.socket() as user:
        user.bind(("127.0.0.1", first + 2))
        starts = [row_of_ports(3) for _ in range(BLOCK)]
    given = {start + n for start in starts for n in range(3)}
    assert first + 2 not in given
    assert max(given) - min(given) < BLOCK

"""Accepting: who came is told, and without descriptors one peer is turned away so that it does not hang."""

from __future__ import annotations

import errno
import resource
import socket
import subprocess
import sys
import textwrap

from tests.native.gateway_core.faces.net import LISTENER, Door, close_fd

from tests.support.tree import ROOT


def test_peers_are_accepted_with_their_address() -> None:
    door = Door()
    assert door.open("127.0.0.1") == 0
    assert door.next() is None
    with socket.create_connection(("127.0.0.1", door.port())) as peer:
        assert door.ready() == [LISTENER]
        accepted = door.next()
        assert accepted is not None
        fd, address, port = accepted
        assert address == bytes(10) + b"\xff\xff\x7f\x00\x00\x01"
        assert port == peer.getsockname()[1]
        assert door.next() is None
        close_fd(fd)
    assert door.counts()["accepted"] == 1


def test_a_wrong_address_and_a_taken_port_are_told() -> None:
    door = Door()
    assert door.open("not an address") == -errno.EINVAL
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert door.open("127.0.0.1", other.getsockname()[1]) == -errno.EADDRINUSE


def test_two_loops_listen_on_one_port() -> None:
    one, two = Door(), Door()
    assert one.open("127.0.0.1") == 0
    assert two.open("127.0.0.1", one.port()) == 0
    one.close()
    with socket.create_connection(("127.0.0.1", two.port())):
        assert two.ready() == [LISTENER]
        accepted = two.next()
        assert accepted is not None
        close_fd(accepted[0])


EXHAUSTED = """
    import os, resource, socket
    from tests.native.gateway_core.faces.net import LISTENER, Door, close_fd
    MS = 1_000_000
    door = Door()
    assert door.open("127.0.0.1") == 0
    peers = [socket.create_connection(("127.0.0.1", door.port())) for _ in range(3)]
    held = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 8, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        pass
    assert door.next(1_000 * MS) is None
    assert door.paused()
    assert door.counts()["accept_pauses"] == 1
    peers[0].settimeout(10)
    assert peers[0].recv(1) == b"", "one peer is turned away"
    assert door.ready(0) == [], "and nobody is accepted for a while"
    door.resume(1_050 * MS)
    assert door.paused()
    for fd in held:
        os.close(fd)
    door.resume(1_101 * MS)
    assert not door.paused()
    assert door.ready() == [LISTENER]
    assert [door.next(1_102 * MS) is not None for _ in range(3)] == [True, True, False]
"""


def test_without_descriptors_one_peer_is_turned_away_and_accepting_pauses() -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(EXHAUSTED)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr

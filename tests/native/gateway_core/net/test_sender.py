"""Staged sends: every owner gets the result of its own socket, whatever carries them."""

from __future__ import annotations

import errno
import socket

import pytest
from tests.native.gateway_core.faces.net import FLUSH, SENDS, Sends

from tests.support.untested import untested_here

NO_RING = "no io_uring: a loop never stages then"

SEND, URING = 1, 2


def test_send_needs_no_ring() -> None:
    assert not Sends(SEND).has_ring()


def fill(sock: socket.socket) -> None:
    try:
        while True:
            sock.send(bytes(1 << 16))
    except BlockingIOError:
        return


@pytest.mark.parametrize("count", [1, 2, 3, SENDS])
def test_each_owner_gets_its_own_result(count: int) -> None:
    sends = Sends(URING)
    if untested_here("" if sends.has_ring() else NO_RING):
        return
    pairs = [socket.socketpair() for _ in range(count)]
    for n, (ours, _) in enumerate(pairs):
        assert not sends.full()
        sends.stage(ours.fileno(), n + 1, b"%d" % n * 100)
    assert sends.full() == (count == SENDS)
    assert sends.run() == [(n + 1, len(b"%d" % n) * 100) for n in range(count)]
    assert not sends.full()
    for n, (ours, theirs) in enumerate(pairs):
        assert theirs.recv(1000) == b"%d" % n * 100
        ours.close()
        theirs.close()


def test_a_full_or_broken_socket_harms_no_other() -> None:
    sends = Sends(URING)
    if untested_here("" if sends.has_ring() else NO_RING):
        return
    pairs = [socket.socketpair() for _ in range(4)]
    full, broken = pairs[1][0], pairs[2][0]
    full.setblocking(False)
    fill(full)
    pairs[2][1].close()
    for n, (ours, _) in enumerate(pairs):
        sends.stage(ours.fileno(), n, b"hello")
    assert sends.run() == [(0, 5), (1, -errno.EAGAIN), (2, -errno.EPIPE), (3, 5)]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    assert broken.fileno() == -1


def test_the_stage_is_full_before_a_flush_would_not_fit() -> None:
    sends = Sends(URING)
    if untested_here("" if sends.has_ring() else NO_RING):
        return
    ours, theirs = socket.socketpair()
    staged = 0
    while not sends.full():
        sends.stage(ours.fileno(), staged, bytes(FLUSH))
        staged += 1
        assert staged * FLUSH <= 1 << 20
    assert 1 < staged < SENDS
    ours.close()
    theirs.close()

"""Readiness is told by id: input, room for output when asked for, and the peer's end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from tests.native.gateway_core.faces.net import Polls

IN, OUT, END = 1, 2, 4
ID = 7 << 32 | 3


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_input_is_told_until_it_is_read(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    polls = Polls()
    assert polls.add(ours.fileno(), ID)
    assert polls.wait() == {}
    theirs.send(b"x")
    assert polls.wait(1000) == polls.wait() == {ID: IN}
    ours.recv(1)
    assert polls.wait() == {}


def test_room_is_told_only_while_somebody_wants_to_write(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    polls = Polls()
    polls.add(ours.fileno(), ID)
    polls.want(ours.fileno(), ID, True, True)
    assert polls.wait(1000) == {ID: OUT}
    polls.want(ours.fileno(), ID, True, False)
    assert polls.wait() == {}


def test_the_peers_end_is_told_with_what_it_left(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    polls = Polls()
    polls.add(ours.fileno(), ID)
    theirs.send(b"last words")
    theirs.close()
    assert polls.wait(1000) == {ID: IN | END}


def test_a_forgotten_descriptor_is_silent_and_a_bad_one_refused(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    polls = Polls()
    assert polls.watch(ours.fileno(), 1 << 63)
    theirs.send(b"x")
    assert polls.wait(1000) == {1 << 63: IN}
    polls.forget(ours.fileno())
    assert polls.wait() == {}
    fd = os.dup(ours.fileno())
    os.close(fd)
    assert not polls.add(fd, ID)

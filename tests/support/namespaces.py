"""Networks that a test makes for itself: namespaces joined by virtual cables, gone with it.

A socket belongs to the network in which its thread was when it was made, so one process can be on all sides.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def refused() -> str:
    """Why this machine does not let us make networks; "" where it does."""
    tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True)
    if os.geteuid() == 0 and tried.returncode == 0:
        return ""
    return f"no networks of our own: {tried.stderr.strip() or 'not root'}"


def do(words: str) -> str:
    """What one command says. Raises CalledProcessError."""
    return subprocess.run(words.split(), check=True, capture_output=True, text=True).stdout


class Namespaces:
    """`with Namespaces("a", "b") as networks:` and then `with networks.inside("a"):`"""

    def __init__(self, *names: str) -> None:
        self._names = {name: f"qw{os.getpid()}{name}" for name in names}

    def __enter__(self) -> Self:
        for real in self._names.values():
            do(f"ip netns add {real}")
            do(f"ip -n {real} link set lo up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for real in self._names.values():
            do(f"ip netns del {real}")

    def cable(self, one: str, other: str, net: str) -> None:
        """`net`.1 in `one` and `net`.2 in `other`, on devices called to<other> and to<one>."""
        a, b = self._names[one], self._names[other]
        suffix = net.split(".")[-1]
        first, second = f"to{other}{suffix}", f"to{one}{suffix}"
        do(f"ip -n {a} link add {first} type veth peer name {second} netns {b}")
        for real, device, host in ((a, first, 1), (b, second, 2)):
            do(f"ip -n {real} addr add {net}.{host}/24 dev {device}")
            do(f"ip -n {real} link set {device} up")

    def ip(self, name: str, words: str) -> None:
        do(f"ip -n {self._names[name]} {words}")

    def run(self, name: str, words: str) -> str:
        return do(f"ip netns exec {self._names[name]} {words}")

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Sockets made by this thread meanwhile are of that network."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self._names[name]}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(home)
            os.close(there)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

"""Network namespaces of a run: made, entered, and gone with it, also after a run that was killed.

Their names carry the run (its process and when that began), so the next run finds what a dead one has left.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("/run/netns")
MARK = re.compile(r"^qwn-(\d+)-(\d+)-\w+$")
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class NetworkRefused(RuntimeError):
    """This machine does not let us make networks; the text says why."""


def refusal() -> str | None:
    """Why no networks can be made here, None when they can."""
    if os.geteuid() != 0:
        return "networks of one's own need root"
    for program in ("ip", "iptables", "ss"):
        if shutil.which(program) is None:
            return f"{program} is not installed (apt-get install iproute2 iptables)"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is not there"
    tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


def do(words: str) -> str:
    """What one command says. Raises NetworkRefused with what went wrong."""
    done = subprocess.run(words.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkRefused(f"{words}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def name_of(role: str) -> str:
    """The namespace of this process for this purpose."""
    return f"qwn-{os.getpid()}-{_began(os.getpid())}-{role}"


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat[stat.rindex(")") + 2 :].split()[19])


def sweep() -> list[str]:
    """Remove the namespaces of runs that are over. Returns their names."""
    found = sorted(FOLDER.glob("qwn-*")) if FOLDER.is_dir() else []
    gone = []
    for path in found:
        mark = MARK.match(path.name)
        if mark and _began(int(mark[1])) != int(mark[2]):
            subprocess.run(["ip", "netns", "del", path.name], capture_output=True, check=False)
            gone.append(path.name)  # or another run's sweep was quicker
    return gone


@contextmanager
def inside(name: str) -> Iterator[None]:
    """What this thread makes meanwhile (sockets, devices, processes) is of that network."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(FOLDER / name, os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

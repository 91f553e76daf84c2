"""One process of a cluster and the others do not reach one another: packets on loopback are dropped.

Each process that root starts has a group of its own, by which the firewall knows what it says. What it is
told goes to its ports: those it listens on, and those of its open connections; it opens no further ones.

Every rule carries a mark with the process that made it, and an end: what a killed run has left stops working
by itself, and the next one removes it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shlex
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

from program.cluster.engines import SEARCHED
from program.cluster.plan import ClusterError, Planned

Way: TypeAlias = Literal["both", "in", "out"]
"""What is lost of a process: all, what it is told, what it says."""

MARK = "qianwan-faults"
PORTS_OF_A_RULE = 15
SPARE_S = 60.0


def impossible() -> str:
    """Why nothing can be cut off here, and what to do; empty when it can."""
    if os.geteuid() != 0:
        return "the firewall is root's"
    return "" if shutil.which("iptables", path=SEARCHED) else "apt-get install iptables"


@contextlib.contextmanager
def parted(one: Planned, pid: int, others: Sequence[Planned], way: Way, lasts_s: float) -> Iterator[None]:
    """Until the end of the block, `lasts_s` and a minute at most; from everybody where there are no
    `others`. Raises ClusterError.
    """
    if problem := impossible():
        raise ClusterError(f"nobody can be cut off: {problem}")
    heal()
    try:
        _add(words_lost(one.group, _served(others), way), lasts_s)
        # Those of now: it gets no more of them since the line above.
        if way != "out":
            _add(hearing_lost(_ports_of(pid, _served(others))), lasts_s)
        yield
    finally:
        heal()


def words_lost(group: int, theirs: Sequence[int], way: Way) -> list[list[str]]:
    """Words for iptables. `theirs`: ports of the others, none: of everybody."""
    says = ["OUTPUT", "-p", "tcp", "-m", "owner", "--gid-owner", str(group), "--suppl-groups"]
    to = [["-m", "multiport", "--dports", each] for each in _parts(theirs)] or [[]]
    return [[*says, *ports, *(["--syn"] if way == "in" else [])] for ports in to]


def hearing_lost(ports: Mapping[int, Sequence[int]]) -> list[list[str]]:
    """The same for what comes to its own ports, by where it comes from; 0: from anywhere, where it listens.
    Other connections may have the same port at this end."""
    found = []
    for remote, own in sorted(ports.items()):
        by = ["-m", "multiport", "--sports", str(remote)] if remote else []
        found += [["INPUT", "-p", "tcp", "-m", "multiport", "--dports", each, *by] for each in _parts(own)]
    return found


def heal() -> None:
    """Remove the rules of this process, and of those that are gone."""
    for words in left():
        _iptables("-D", *words[1:])


def left() -> list[list[str]]:
    """Rules of this process, and of those that are gone."""
    found = [shlex.split(line) for line in _iptables("-S").splitlines() if f"{MARK}:" in line]
    return [words for words in found if not _others(words)]


def _others(words: Sequence[str]) -> bool:
    """Of a process that runs, and is not this one."""
    pid = int(words[words.index("--comment") + 1].rpartition(":")[2])
    return pid != os.getpid() and Path(f"/proc/{pid}").exists()


def _add(found: list[list[str]], lasts_s: float) -> None:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=lasts_s + SPARE_S)
    ends = ["-m", "time", "--datestop", end.strftime("%Y-%m-%dT%H:%M:%S")]
    mark = ["-m", "comment", "--comment", f"{MARK}:{os.getpid()}"]
    for words in found:
        _iptables("-A", *words, *ends, *mark, "-j", "DROP")


def _iptables(*words: str) -> str:
    command = [shutil.which("iptables", path=SEARCHED) or "iptables", "-w", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _served(others: Sequence[Planned]) -> list[int]:
    found = {each for one in others for each in (one.address, one.http, one.peer) if each}
    return sorted(int(each.rpartition(":")[2]) for each in found)


def _parts(ports: Sequence[int]) -> list[str]:
    step = PORTS_OF_A_RULE
    return [",".join(map(str, ports[at : at + step])) for at in range(0, len(ports), step)]


def _ports_of(pid: int, theirs: Sequence[int]) -> dict[int, list[int]]:
    """Its own ports by those of the other end; only with `theirs` where there are some, else 0 has those
    where it listens. Grpc's are IPv6 sockets with IPv4 addresses."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(entry))
    lines = [Path("/proc/net", name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    found: dict[int, set[int]] = defaultdict(set)
    for line in chain.from_iterable(lines):
        fields = line.split()
        own, other = (int(fields[n].rpartition(":")[2], 16) for n in (1, 2))
        if f"socket:[{fields[9]}]" in sockets and (other in theirs if theirs else True):
            found[other].add(own)
    listens = found.get(0, set())
    return {other: sorted(own - listens if other else own) for other, own in found.items()}

"""The machine, the program and the clocks of /proc: what stands beside every figure."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crypto import openssl

ROOT = Path(__file__).resolve().parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MALLOC_ARENA = 64 << 20  # where glibc lets the memory of a thread begin: a multiple of that


def machine() -> dict[str, object]:
    """What a reader needs to compare two figures."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": memory("MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": openssl.VERSION,
        "load_average": round(os.getloadavg()[0], 2),
    }


def commit() -> str:
    """Short commit of the tree, with `+` when files differ from it; `unknown` outside a repository."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory(field: str) -> int:
    """A field of /proc/meminfo in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def held_bytes() -> int:
    """Memory of all programs and of the kernel's objects, also those that it calls reclaimable: inodes and
    directory entries of open sockets are among them, and nobody can take these back.
    """
    return sum(memory(name) for name in ("AnonPages", "Slab", "PageTables", "KernelStack", "Percpu"))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its threads, user and system; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU time of the threads of a process, to the nanosecond; those of one name are summed."""
    found: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        found[name] = found.get(name, 0.0) + int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def resident_bytes(pids: Sequence[int]) -> int:
    """Memory of a group of processes: RSS of a single one, else each one's proportional share (PSS), so that
    pages which forked processes share count once.
    """
    return rss_bytes(pids[0]) if len(pids) == 1 else sum(_pss_bytes(pid) for pid in pids)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process; 0 once it is gone. Counted page by page: the kernel's running counters,
    which statm shows, may be off by half a megabyte for each process (struct percpu_counter).
    """
    return _rollup_bytes(pid, "Rss:")


def by_kind(smaps: str) -> dict[str, int]:
    """Resident bytes of a process, from the text of its smaps: `mapped` is what the core maps (connections,
    sessions, tables) and Python's own arenas, `heap` malloc of the Python thread, `arenas` malloc of other
    threads, `files` programs and libraries.
    """
    found = dict.fromkeys(("mapped", "heap", "arenas", "files"), 0)
    kind = "files"
    for line in smaps.splitlines():
        words = line.split()
        if "-" in words[0] and len(words) >= 5:
            begin = int(words[0].partition("-")[0], 16)
            if len(words) > 5:
                kind = "heap" if words[5] == "[heap]" else "files"
            else:
                kind = "arenas" if begin % MALLOC_ARENA == 0 and words[1] == "rw-p" else "mapped"
        elif words[0] == "Rss:":
            found[kind] += int(words[1]) * 1024
    return found


def resident_by_kind(pids: Sequence[int]) -> dict[str, int]:
    """Summed over these processes."""
    each = [by_kind(Path(f"/proc/{pid}/smaps").read_text()) for pid in pids]
    return {kind: sum(one[kind] for one in each) for kind in each[0]}


def _pss_bytes(pid: int) -> int:
    return _rollup_bytes(pid, "Pss:")


def _rollup_bytes(pid: int, name: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


@dataclass(frozen=True, slots=True)
class Busy:
    """CPU time of the whole machine in seconds."""

    used: float
    idle: float

    @classmethod
    def now(cls) -> Busy:
        fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        idle = fields[3] + fields[4]
        return cls((sum(fields[:8]) - idle) / TICKS_PER_S, idle / TICKS_PER_S)

    def share_since(self, earlier: Busy) -> float:
        """Used part of all cores, 0 to 1."""
        used, idle = self.used - earlier.used, self.idle - earlier.idle
        return used / (used + idle) if used + idle > 0 else 0.0

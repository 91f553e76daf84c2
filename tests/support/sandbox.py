"""The sandbox of a systemd unit, acted out where no systemd runs: each step is a command that ends by exec.

    python -m tests.support.sandbox read-only FOLDER -- COMMAND...   as root: all but FOLDER is read-only
    python -m tests.support.sandbox filter UNIT -- COMMAND...        the system calls that the unit leaves

What a name such as `@system-service` means is asked of systemd itself (`systemd-analyze syscall-filter`).
Acted out are the directives in FILTERED and, by `read-only`, ProtectSystem=strict and PrivateTmp, more
strictly: /tmp is read-only too. Namespaces of users and devices are not.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyseccomp

FILTERED = {
    "SystemCallFilter", "SystemCallErrorNumber", "MemoryDenyWriteExecute", "RestrictAddressFamilies",
    "RestrictNamespaces", "RestrictRealtime", "LockPersonality",
}  # fmt: skip
WRITE_AND_EXECUTE = mmap.PROT_WRITE | mmap.PROT_EXEC
SHM_EXEC = 0o100000
NAMESPACES = 0x7E020080  # CLONE_NEW*
FAMILIES = 64  # more than there are
SCHED_FIFO, SCHED_RR = 1, 2
CLONE_NEWNS, CLONE_NEWIPC = 0x20000, 0x8000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1


def service(unit: Path) -> dict[str, list[str]]:
    """Directive -> its values, of the section [Service]."""
    (section,) = re.findall(r"^\[Service\]\n(.*?)(?=^\[|\Z)", unit.read_text(), re.DOTALL | re.MULTILINE)
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", section, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def system_call_sets() -> dict[str, list[str]]:
    """`@name` -> calls and sets in it, as this machine's systemd has them."""
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    ).stdout
    sets: dict[str, list[str]] = {}
    name = ""
    for line in told.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif name and line.startswith(" ") and not line.strip().startswith("#"):
            sets[name].append(line.strip())
    return sets


def calls_left(lines: list[str]) -> set[str]:
    """What SystemCallFilter= lines leave: the first allows, `~` takes away, @default is always there."""
    sets = system_call_sets()

    def expand(names: list[str]) -> set[str]:
        calls: set[str] = set()
        for name in names:
            calls |= expand(sets[name]) if name.startswith("@") else {name}
        return calls

    left = expand(["@default"])
    for line in lines:
        if line.startswith("~"):
            left -= expand(line[1:].split())
        else:
            left |= expand(line.split())
    return left


def load(unit: Path) -> None:
    """Put the filters of the unit on this process and all that it starts."""
    wanted = service(unit)
    assert set(wanted) >= FILTERED, f"the unit lacks {sorted(FILTERED - set(wanted))}"
    scmp = pyseccomp
    denied = scmp.SyscallFilter(scmp.ALLOW)

    def deny(call: str, *arguments: Any, error: int = errno.EPERM) -> None:
        denied.add_rule(scmp.ERRNO(error), call, *arguments)

    execute = scmp.Arg(2, scmp.MASKED_EQ, mmap.PROT_EXEC, mmap.PROT_EXEC)
    deny("mmap", scmp.Arg(2, scmp.MASKED_EQ, WRITE_AND_EXECUTE, WRITE_AND_EXECUTE))
    deny("mprotect", execute)
    deny("pkey_mprotect", execute)
    deny("shmat", scmp.Arg(2, scmp.MASKED_EQ, SHM_EXEC, SHM_EXEC))
    (families,) = wanted["RestrictAddressFamilies"]
    allowed = {int(getattr(socket, family)) for family in families.split()}
    for family in set(range(FAMILIES)) - allowed:
        deny("socket", scmp.Arg(0, scmp.EQ, family), error=errno.EAFNOSUPPORT)
    for bit in (1 << shift for shift in range(32) if NAMESPACES >> shift & 1):
        deny("clone", scmp.Arg(0, scmp.MASKED_EQ, bit, bit))
        deny("unshare", scmp.Arg(0, scmp.MASKED_EQ, bit, bit))
    deny("setns")
    deny("clone3", error=errno.ENOSYS)
    for policy in (SCHED_FIFO, SCHED_RR):
        deny("sched_setscheduler", scmp.Arg(1, scmp.EQ, policy))
    deny("personality", scmp.Arg(0, scmp.NE, 0))
    left = scmp.SyscallFilter(scmp.ERRNO(getattr(errno, wanted["SystemCallErrorNumber"][0])))
    for call in sorted(calls_left(wanted["SystemCallFilter"])):
        try:
            left.add_rule(scmp.ALLOW, call)
        except (OSError, ValueError):  # none of this architecture
            continue
    denied.load()
    left.load()


class _Attributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def make_read_only(folder: Path) -> None:
    """In a mount namespace of its own; `folder` alone can be written."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = str(folder).encode()

    def done(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def change(where: bytes, flags: int, **attributes: int) -> None:
        wanted = _Attributes(**attributes)
        size = ctypes.c_size_t(ctypes.sizeof(wanted))
        done(libc.syscall(MOUNT_SETATTR, AT_FDCWD, where, flags, ctypes.byref(wanted), size))

    done(libc.unshare(CLONE_NEWNS | CLONE_NEWIPC))
    done(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    done(libc.mount(path, path, None, MS_BIND, None))
    change(b"/", AT_RECURSIVE, set=MOUNT_ATTR_RDONLY)
    change(path, 0, clear=MOUNT_ATTR_RDONLY)
    os.chdir(os.getcwd())


def main() -> None:
    step, what, dashes, *command = sys.argv[1:]
    assert dashes == "--"
    {"read-only": make_read_only, "filter": load}[step](Path(what))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()

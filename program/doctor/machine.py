"""The machine: limits, kernel knobs, libraries."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from program.doctor.finding import GREEN, RED, YELLOW, Finding

WANTED_FILES = 65_536
WANTED_TRACKED = 1_000_000
SQLITE_FIXED = (3, 51, 3)
C_MODULES = (
    "crypto.aead",
    "crypto.noise",
    "crypto.openssl",
    "crypto.sodium",
    "crypto.zstd",
    "gateway_core.engine.gateway",
)
# knob -> (least sensible value, why)
KNOBS = {
    "net/core/somaxconn": (4096, "a reconnect storm overflows a short accept queue"),
    "net/ipv4/tcp_max_syn_backlog": (4096, "a reconnect storm overflows the SYN queue"),
    "fs/file-max": (200_000, "descriptors of the whole machine"),
}


def machine() -> Iterator[Finding]:
    for check in (_python, _limits, _knobs, _tracking, _libraries, _cpu, _modules):
        yield from check()


def _python() -> Iterator[Finding]:
    good = sys.version_info >= (3, 11) and sys.platform == "linux"
    yield Finding(
        GREEN if good else RED,
        "platform",
        f"Python {platform.python_version()} on {sys.platform}",
        "" if good else "Python 3.11 or later on Linux is needed",
    )


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    usable = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    enough = hard == resource.RLIM_INFINITY or hard >= WANTED_FILES
    yield Finding(
        GREEN if enough else YELLOW,
        "open files (RLIMIT_NOFILE)",
        f"soft {soft}, hard {usable}",
        "" if enough else f"one process can hold about {hard - 1000} connections; raise LimitNOFILE for more",
    )


def _knobs() -> Iterator[Finding]:
    for knob, (least, why) in KNOBS.items():
        try:
            value = int(Path("/proc/sys", knob).read_text().split()[0])
        except (OSError, ValueError):
            yield Finding(YELLOW, knob, "not readable", "")
            continue
        good = value >= least
        yield Finding(
            GREEN if good else YELLOW,
            knob.replace("/", "."),
            str(value),
            "" if good else f"at least {least}: {why}",
        )


def _tracking() -> Iterator[Finding]:
    """Netfilter follows connections only where a rule asks for it; then its table is a limit."""
    folder = Path("/proc/sys/net/netfilter")
    try:
        count, most = (
            int((folder / name).read_text()) for name in ("nf_conntrack_count", "nf_conntrack_max")
        )
    except (OSError, ValueError):
        return
    small = count > 0 and most < WANTED_TRACKED
    yield Finding(
        YELLOW if small else GREEN,
        "connection tracking",
        f"{count} of {most}" if count else "not in use",
        f"at least {WANTED_TRACKED}: more connections than that are dropped without a word" if small else "",
    )


def _libraries() -> Iterator[Finding]:
    from importlib.metadata import version

    import apsw
    import zstandard

    sqlite = apsw.sqlite_lib_version()
    fixed = tuple(int(part) for part in sqlite.split(".")[:3]) >= SQLITE_FIXED
    yield Finding(
        GREEN if fixed else RED,
        "SQLite",
        sqlite,
        "" if fixed else "older than 3.51.3: its WAL can be damaged by a reset; update apsw",
    )
    yield Finding(GREEN, "zstd", ".".join(map(str, zstandard.ZSTD_VERSION)))
    try:
        sodium = importlib.import_module("nacl._sodium")
        has_aegis = hasattr(sodium.lib, "crypto_aead_aegis128l_encrypt") or _sodium_has_aegis()
    except ImportError as error:
        yield Finding(RED, "libsodium", str(error), "reinstall PyNaCl")
        return
    yield Finding(
        GREEN if has_aegis else YELLOW,
        "libsodium",
        f"PyNaCl {version('PyNaCl')}" + (", with AEGIS-128L" if has_aegis else ", without AEGIS-128L"),
        "" if has_aegis else "suite 3 is not offered; PyNaCl 1.6 or later bundles it",
    )
    try:
        openssl = importlib.import_module("crypto.openssl").VERSION
    except ImportError:  # not built: `_modules` says so
        return
    yield Finding(
        GREEN if openssl else YELLOW,
        "OpenSSL",
        openssl or "none that this Python shares",
        "" if openssl else "ChaCha20-Poly1305 takes twice as long; a Python on a shared OpenSSL 3 has it",
    )


def _sodium_has_aegis() -> bool:
    try:
        suites = importlib.import_module("crypto.aead")
    except ImportError:
        return False
    tag_size = getattr(suites, "tag_size", None)
    try:
        return tag_size is not None and tag_size(3) == 32
    except ValueError:
        return False


def _cpu() -> Iterator[Finding]:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    has_aes = " aes" in flags
    cores = len(os.sched_getaffinity(0))
    yield Finding(
        GREEN if has_aes else YELLOW,
        "AES instructions",
        "present" if has_aes else "not found",
        "" if has_aes else "clients should prefer ChaCha20-Poly1305 (suite 1)",
    )
    wide = " avx512ifma" in flags
    found = "present" if wide else "not found, handshakes take about twice the CPU"
    yield Finding(GREEN, "AVX-512 IFMA", found)
    yield Finding(GREEN, "cores", f"{cores} usable")


def _modules() -> Iterator[Finding]:
    failed = []
    for module in C_MODULES:
        try:
            importlib.import_module(module)
        except ImportError as error:
            failed.append(f"{module}: {error}")
    yield Finding(
        RED if failed else GREEN,
        "C modules",
        "; ".join(failed) if failed else f"{len(C_MODULES)} load",
        "make build" if failed else "",
    )

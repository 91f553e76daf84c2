"""Builds the C modules. Everything static about the distribution stands in pyproject.toml.

One table, `MODULES`, names every extension module; a module that is not in it does not exist. Variants are
chosen by environment so that each keeps its own build folder and none overwrites another's objects:

    QIANWAN_BUILD=release   -O3 (default)
    QIANWAN_BUILD=debug     -O1 -g
    QIANWAN_BUILD=sanitize  debug plus AddressSanitizer and UBSan, which traps
    QIANWAN_BUILD=coverage  -O0 --coverage: gcov counts the lines that run (tools/coverage.py)

`python setup.py build_ext --inplace --modules crypto,frame.varint` builds the modules whose names start so.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

# module -> extra C include folders. The source is the module's path with .pyx.
MODULES: dict[str, list[str]] = {
    # MODULES-BEGIN (one line a module, sorted within its floor)
    "crypto.aead": [],
    "crypto.noise": [],
    "crypto.openssl": [],
    "crypto.sodium": [],
    "crypto.symmetric": [],
    "crypto.x25519": [],
    "crypto.ticket": [],
    "crypto.zstd": [],
    "frame.frames": [],
    "frame.http_upgrade": [],
    "frame.preamble": [],
    "frame.proxy": [],
    "frame.record": [],
    "frame.varint": [],
    "frame.websocket": [],
    "crypto.handshake": [],
    "benchmarks.loadgen.histogram": [],
    "benchmarks.loadgen.stamp": [],
    "benchmarks.loadgen.delivery": [],
    "benchmarks.loadgen.sockets": [],
    "benchmarks.loadgen.wires.message": [],
    "benchmarks.loadgen.wires.carriage": [],
    "benchmarks.loadgen.wires.qw1": [],
    "benchmarks.loadgen.wires.mqtt": [],
    "benchmarks.loadgen.wires.nats": [],
    "benchmarks.loadgen.wires.websocket": [],
    "benchmarks.loadgen.schedule": [],
    "benchmarks.loadgen.swarm": [],
    "gateway_core.conn.answering": [],
    "gateway_core.conn.dispatch": [],
    "gateway_core.conn.fanout": [],
    "gateway_core.conn.handing": [],
    "gateway_core.conn.joining": [],
    "gateway_core.conn.parking": [],
    "gateway_core.conn.resume": [],
    "gateway_core.conn.session": [],
    "gateway_core.conn.tickets": [],
    "gateway_core.conn.topics": [],
    "gateway_core.conn.transport": [],
    "gateway_core.conn.ws_gate": [],
    "gateway_core.engine.bridge": [],
    "gateway_core.engine.execute": [],
    "gateway_core.engine.gateway": [],
    "gateway_core.engine.loop": [],
    "gateway_core.conn.table": [],
    "gateway_core.leaf.deadlines": [],
    "gateway_core.leaf.dictionaries": [],
    "gateway_core.leaf.events": [],
    "gateway_core.leaf.mailbox": [],
    "gateway_core.leaf.shared_buf": [],
    "gateway_core.leaf.stats": [],
    "gateway_core.leaf.token_bucket": [],
    "gateway_core.leaf.ring": [],
    "gateway_core.leaf.blocks": [],
    "gateway_core.leaf.replay_filter": [],
    "gateway_core.leaf.admission": [],
    "gateway_core.leaf.leavers": [],
    "gateway_core.conn.leaving": [],
    "gateway_core.conn.looking": [],
    "gateway_core.conn.easing": [],
    "gateway_core.conn.policy": [],
    "gateway_core.leaf.policies": [],
    "gateway_core.leaf.class_budget": [],
    "gateway_core.net.in_buffer": [],
    "gateway_core.net.listener": [],
    "gateway_core.net.out_queue": [],
    "gateway_core.net.poller": [],
    "gateway_core.net.sender": [],
    "gateway_core.conn.handshake": [],
    "gateway_core.conn.users": [],
    "gateway_core.engine.config": [],
    "benchmarks.micro.loops": [],
    "gateway_core.engine.submit": [],
    "gateway_core.conn.pending": [],
    "gateway_core.conn.states": [],
    "gateway_core.conn.announce": [],
    "gateway_core.leaf.address_table": [],
    "gateway_core.leaf.keys": [],
    "gateway_core.leaf.lists": [],
    "control.routing.compact": [],
    "control.routing.table": [],
    "tests.native.gateway_core.faces.conn": [],
    "tests.native.gateway_core.faces.leaf": [],
    "tests.native.gateway_core.faces.net": [],
    # MODULES-END
}

# Import names this distribution owns; their subpackages follow.
PACKAGES = ["cmodules", "frame", "crypto", "gateway_core", "im_service", "control", "program", "benchmarks"]

BUILD = os.environ.get("QIANWAN_BUILD", "release")
FLAGS: dict[str, tuple[list[str], list[str]]] = {
    "release": (["-O3", "-g0", "-fno-plt", "-fno-strict-aliasing"], []),
    "debug": (["-O1", "-g", "-fno-omit-frame-pointer"], []),
    "sanitize": (
        [
            "-O1",
            "-g",
            "-fno-omit-frame-pointer",
            "-fsanitize=address,undefined",
            "-fsanitize-undefined-trap-on-error",
        ],
        ["-fsanitize=address"],
    ),
    # a process that leaves by os._exit() writes its counts by calling __gcov_dump itself
    "coverage": (["-O0", "--coverage"], ["--coverage", "-Wl,-u,__gcov_dump"]),
}


def requested_modules(argv: list[str]) -> list[str]:
    """Take `--modules a,b` out of argv and return the prefixes (empty = all)."""
    for i, word in enumerate(argv):
        if word == "--modules":
            prefixes = argv[i + 1].split(",")
            del argv[i : i + 2]
            return prefixes
        if word.startswith("--modules="):
            del argv[i]
            return word.split("=", 1)[1].split(",")
    return []


SHARED = re.compile(
    r"""^\s*(?:from\s+([\w.]+)\s+cimport\b|cimport\s+([\w.]+)"""
    r"""|cdef\s+extern\s+from\s+"([^"]+)"|\#include\s+"([^"]+)")""",
    re.MULTILINE,
)


def shared_files(source: Path, seen: set[Path]) -> set[Path]:
    """Adds the `.pxd` and `.h` files of this tree that `source` sees, however deep."""
    found = [source.with_suffix(".pxd")]
    for origin, plain, header, included in SHARED.findall(source.read_text(encoding="utf-8")):
        if header or included:
            found.append(Path(header or included))
        else:
            name = (origin or plain).replace(".", "/")
            found += [Path(f"{name}.pxd"), Path(name, "__init__.pxd")]
    for path in found:
        if path not in seen and path.is_file():
            seen.add(path)
            shared_files(path, seen)
    return seen


def layout(source: Path) -> str:
    """The mark of every shared file a module is built from (see the package `cmodules`)."""
    files = sorted(shared_files(source, set()))
    return " ".join(f"{path}={hashlib.sha256(path.read_bytes()).hexdigest()[:8]}" for path in files)


def extensions(prefixes: list[str]) -> list[Extension]:
    compile_args, link_args = FLAGS[BUILD]
    modules = []
    for name, includes in MODULES.items():
        if name.startswith("tests.") and "--inplace" not in sys.argv:  # no part of what is installed
            continue
        if prefixes and not any(name == p or name.startswith(p + ".") for p in prefixes):
            continue
        modules.append(
            Extension(
                name,
                [name.replace(".", "/") + ".pyx"],
                include_dirs=[".", *includes],
                define_macros=[("QW_LAYOUT", f'"{layout(Path(name.replace(".", "/") + ".pyx"))}"')],
                # cythonize does not see what headers include; a stale module would read other structs
                depends=["setup.py", *sorted(str(h) for h in Path(".").glob("*/includes/*.h"))],
                extra_compile_args=[*compile_args, "-std=gnu11", "-Wall", "-Wno-unused-function"],
                extra_link_args=[*link_args, "-pthread"],
            )
        )
    return modules


def main() -> None:
    # An editable install only links the tree; `build_ext --inplace` builds the modules.
    link_only = os.environ.get("QIANWAN_MODULES") == "none"
    chosen = [] if link_only else extensions(requested_modules(sys.argv))
    build_dir = Path("build") / BUILD
    setup(
        packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
        # With it an editable install adds the folder, not package by package; but data files are not found.
        package_dir={"": "."} if link_only else {},
        exclude_package_data={"": ["*.pyx", "*.pxd", "*.h"]},
        ext_modules=cythonize(
            chosen,
            build_dir=str(build_dir / "c"),
            language_level=3,
            nthreads=os.cpu_count() or 1,
            compiler_directives={
                "boundscheck": False,
                "wraparound": False,
                "cdivision": True,
                "initializedcheck": False,
                "nonecheck": False,
                "embedsignature": True,
                "freethreading_compatible": False,
            },
        ),
        options={"build": {"build_base": str(build_dir)}},
    )


main()

"""Builds the C modules under AddressSanitizer and UBSan in a copy of the tree and runs the tests that drive
them, in the tests' own process and in the servers they start.

The copy (build/sanitize/tree) keeps the release objects of the working tree untouched. Leak detection of ASan
is off, because the interpreter never frees its own; their leaks are found by their live-object counts.
A report goes into a file, because nobody reads the stderr of a server that a test stops; one fails the run.
UBSan traps, and ASan reports the trap: the runtime of UBSan writes no file when ASan is loaded too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.copied_tree import ROOT, build_modules, copy_tree

TREE = ROOT / "build" / "sanitize" / "tree"
REPORTS = ROOT / "build" / "sanitize" / "reports"
OVERRUN = "import ctypes; ctypes.memset(ctypes.create_string_buffer(100), 0, 101)"
SUITES = (
    # the C modules
    "tests/native",
    "tests/adversity/gateway",
    "tests/conformance/noise",
    "tests/conformance/stranger",
    "tests/conformance/websocket",
    "tests/fuzz/test_corpus_replay.py",
    # whole servers
    "tests/adversity/server",
    "tests/integration/server",
    "tests/integration/workers",
    "tests/integration/control/test_stalled_gateway.py",
)
PYTHON_ALONE = "tests/adversity/server/test_event_copy.py"
"""What it is about is Python, and its kills take the time of the servers beside it: `make test` has it."""


def runtime() -> str:
    """Path of the compiler's libasan, or a clear end."""
    name = "libasan.so"
    compiler = os.environ.get("CC", "gcc")
    found = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    path = found.stdout.strip()
    if not Path(path).is_absolute():
        raise SystemExit(f"missing: {name} of {compiler}; on Debian: apt-get install gcc")
    return path


def environment() -> dict[str, str]:
    """What a process runs under; the servers that tests start inherit it."""
    return {
        **os.environ,
        "LD_PRELOAD": runtime(),
        "ASAN_OPTIONS": ":".join(
            (
                f"log_path='{REPORTS}/report'",
                "abort_on_error=1",
                "handle_abort=1",
                "handle_sigill=1",
                "detect_leaks=0",
                "detect_stack_use_after_return=0",
            )
        ),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": f"{TREE}:{TREE / 'sdk' / 'python'}",
    }


def take_reports() -> list[str]:
    """What the sanitizers wrote since the last call, one text for each process."""
    found = [path.read_text("utf-8", "replace") for path in sorted(REPORTS.glob("*"))]
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    return found


def run(paths: Sequence[str], env: dict[str, str]) -> int:
    """pytest in lanes, as `make test`: its exit code."""
    lanes = ("-n", os.environ.get("LANES", "4"), "--dist", "loadfile", "--no-loadscope-reorder")
    words = [sys.executable, "-m", "pytest", *lanes, f"--ignore={PYTHON_ALONE}", *paths]
    return subprocess.run(words, cwd=TREE, env=env, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", help="what pytest runs; default: those of modules and servers")
    paths = parser.parse_args().paths
    copy_tree(TREE)
    build_modules(TREE, "sanitize")
    env = environment()
    take_reports()
    subprocess.run([sys.executable, "-c", OVERRUN], cwd=TREE, env=env, check=False)
    if not take_reports():
        raise SystemExit("an overrun on purpose was not reported: the sanitizers do not work here")
    code = run(paths or SUITES, env)
    reports = take_reports()
    print(*reports, f"{len(reports)} reports of the sanitizers", sep="\n")
    return code or min(len(reports), 1)


if __name__ == "__main__":
    sys.exit(main())

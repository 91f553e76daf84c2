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
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.copied_tree import ROOT, build_modules, copy_tree

TREE = ROOT / "build" / "sanitize" / "tree"
REPORTS = ROOT / "build" / "sanitize" / "reports"
OVERRUN = "import ctypes; ctypes.memset(ctypes.create_string_buffer(100), 0, 101)"
MODULES = (
    "tests/native",
    "tests/adversity/gateway",
    "tests/conformance",
    "tests/fuzz/test_corpus_replay.py",
)
SERVERS = (
    "tests/adversity/server",
    "tests/integration/server",
    "tests/integration/workers",
    "tests/integration/control/test_stalled_gateway.py",
)


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


def run(suites: Sequence[Sequence[str]], env: dict[str, str]) -> int:
    """pytest on each of them at the same time: they mostly wait. The first is seen at once, the others
    when all are done. Returns the first exit code that is not 0.
    """
    with ExitStack() as stack:
        logs = [None, *(stack.enter_context(TemporaryFile()) for _ in suites[1:])]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "pytest", *paths], cwd=TREE, env=env, stdout=log, stderr=log
            )
            for paths, log in zip(suites, logs, strict=True)
        ]
        codes = [process.wait() for process in processes]
        for log in filter(None, logs):
            log.seek(0)
            print(log.read().decode("utf-8", "replace"))
    return next(filter(None, codes), 0)


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
    code = run([paths] if paths else [MODULES, SERVERS], env)
    reports = take_reports()
    print(*reports, f"{len(reports)} reports of the sanitizers", sep="\n")
    return code or min(len(reports), 1)


if __name__ == "__main__":
    sys.exit(main())

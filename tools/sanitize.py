"""Builds the C rooms under AddressSanitizer and UBSan in a copy of the tree and runs the tests that drive
them.

The copy (build/sanitize/tree) keeps the release objects of the working tree untouched. Leak detection of ASan
is off, because the interpreter never frees its own; leaks of the rooms are found by their live-object counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "sanitize" / "tree"
SUITES = (
    "tests/native",
    "tests/adversity/gateway",
    "tests/conformance",
    "tests/fuzz/test_corpus_replay.py",
)


def copy_tree() -> None:
    """Copies what git tracks; unchanged files keep their time, so builds stay incremental."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    wanted = {Path(os.fsdecode(name)) for name in listing.stdout.split(b"\0") if name}
    for relative in sorted(wanted):
        source, target = ROOT / relative, TREE / relative
        if not source.is_file():
            continue
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
    for path in TREE.rglob("*.py"):
        relative = path.relative_to(TREE)
        if relative.parts[0] != "build" and relative not in wanted:
            path.unlink()


def runtime(name: str) -> str:
    """Path of a sanitizer runtime of the compiler, or a clear end."""
    compiler = os.environ.get("CC", "gcc")
    found = subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    path = found.stdout.strip()
    if not Path(path).is_absolute():
        raise SystemExit(f"missing: {name} of {compiler}; on Debian: apt-get install gcc")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=list(SUITES), help="what pytest runs")
    arguments = parser.parse_args()
    copy_tree()
    env = {**os.environ, "QIANWAN_BUILD": "sanitize"}
    jobs = str(os.cpu_count() or 1)
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--parallel", jobs]
    log = subprocess.run(build, cwd=TREE, env=env, check=False, capture_output=True, text=True)
    if log.returncode:
        print(log.stdout[-4000:], log.stderr[-8000:], sep="\n")
        return log.returncode
    env |= {
        "LD_PRELOAD": f"{runtime('libasan.so')}:{runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": f"{TREE}:{TREE / 'sdk' / 'python'}",
    }
    paths = [path for path in arguments.paths if (TREE / path).exists()]
    return subprocess.run([sys.executable, "-m", "pytest", *paths], cwd=TREE, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

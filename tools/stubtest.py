"""Runs mypy's stubtest on every C module that has a `.pyi`, so that a stub cannot drift from its module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("frame", "crypto", "gateway_core", "control", "benchmarks")


def stubbed_modules() -> list[str]:
    """Dotted names of all modules described by a stub, sorted."""
    stubs = (path for floor in FLOORS for path in (ROOT / floor).rglob("*.pyi"))
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in stubs)


def main() -> int:
    modules = stubbed_modules()
    allowlist = ROOT / "tools" / "stubtest_allowlist.txt"
    options = ["--allowlist", str(allowlist), "--ignore-unused-allowlist"]
    command = [sys.executable, "-m", "mypy.stubtest", *options, *modules]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

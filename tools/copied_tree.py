"""A copy of the tree, where a variant of the C modules is built and the objects of the tree itself stay."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def copy_tree(tree: Path) -> None:
    """Copies what git tracks; unchanged files keep their time, so builds stay incremental."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    wanted = {Path(os.fsdecode(name)) for name in listing.stdout.split(b"\0") if name}
    for relative in sorted(wanted):
        source, target = ROOT / relative, tree / relative
        if not source.is_file():
            continue
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)
    for path in tree.rglob("*.py"):
        relative = path.relative_to(tree)
        if relative.parts[0] != "build" and relative not in wanted:
            path.unlink()


def build_modules(tree: Path, variant: str) -> None:
    """The modules of the copy, incremental; ends with the compiler's words when they do not build."""
    jobs = str(os.cpu_count() or 1)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--parallel", jobs]
    env = {**os.environ, "QIANWAN_BUILD": variant}
    log = subprocess.run(command, cwd=tree, env=env, check=False, capture_output=True, text=True)
    if log.returncode:
        raise SystemExit(f"{log.stdout[-4000:]}\n{log.stderr[-8000:]}")

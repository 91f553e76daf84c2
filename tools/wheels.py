"""Builds what people install, into dist/: the server's sdist, its wheel made from it, the SDK's wheel.

The unpacked sdist gets the working tree's objects. They are fresh as long as its sources are the tree's byte
for byte, times included, so every source is compared; what is not there cannot be compiled, and is named.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("frame", "crypto", "gateway_core", "im_service", "control", "program", "benchmarks")
SOURCES = (".pyx", ".pxd", ".h")
OBJECTS = ("c", "temp.*", "lib.*")
BACKEND = "import sys; from setuptools import build_meta; print(build_meta.{hook}(sys.argv[1]))"


class Incomplete(Exception):
    """Files that git tracks are missing in what was built."""


def build(target: Path) -> tuple[Path, Path]:
    """The wheels of the server and of the SDK, in `target`. The C modules must be built."""
    target.mkdir(parents=True, exist_ok=True)
    sdist = _run_hook(ROOT, "build_sdist", target)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:  # our own, so no filter: Python 3.11.2 of Debian 12 has none
            archive.extractall(folder)
        (tree,) = Path(folder).iterdir()
        files = _tracked()
        _refuse(sdist, [name for name in files if not _same(tree / name, ROOT / name)])
        _lend_objects(tree)
        server = _run_hook(tree, "build_wheel", target)
        with zipfile.ZipFile(server) as wheel:
            held = set(wheel.namelist())
        _refuse(server, [name for name in files if not name.endswith(SOURCES) and name not in held])
        client = Path(folder, "client")
        shutil.copytree(ROOT / "sdk" / "python", client, ignore=shutil.ignore_patterns("*.egg-info", "build"))
        return server, _run_hook(client, "build_wheel", target)


def _tracked() -> list[str]:
    """Every file of the packages: all of them are needed to build or to run."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = [name for name in listing.split("\0") if name and (ROOT / name).is_file()]
    return [name for name in names if not name.startswith("benchmarks/results/")]


def _run_hook(source: Path, hook: str, target: Path) -> Path:
    command = [sys.executable, "-c", BACKEND.format(hook=hook), str(target.resolve())]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return target / done.stdout.splitlines()[-1]


def _same(copy: Path, original: Path) -> bool:
    return copy.is_file() and copy.read_bytes() == original.read_bytes()


def _refuse(archive: Path, missing: list[str]) -> None:
    if missing:
        raise Incomplete(f"{archive.name} lacks {len(missing)} files: {', '.join(missing[:20])}")


def _lend_objects(tree: Path) -> None:
    """C files, objects and modules; no Python file, which may be one that is gone."""
    built = ROOT / "build" / "release"
    for folder in (path for pattern in OBJECTS for path in built.glob(pattern)):
        for path in folder.rglob("*"):
            if path.suffix in {".c", ".o", ".so"}:
                copy = tree / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)


def main() -> int:
    parser = argparse.ArgumentParser(description="build the wheels")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    try:
        for wheel in build(parser.parse_args().out):
            print(wheel)
    except Incomplete as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(error.stdout, error.stderr, sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

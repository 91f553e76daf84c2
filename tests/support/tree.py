"""The files of the repository, as the architecture tests see them."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("cmodules", "frame", "crypto", "gateway_core", "im_service", "control", "program")


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Paths relative to the root: what git tracks and what it would add; all files when there is no git, or
    when this is a copy in a folder that git ignores (tools/coverage.py)."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        names = [name for name in listing.stdout.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if not names:
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        names = [str(path) for path in found if path.parts[0] not in (".venv", "build")]
    return tuple(sorted(Path(name) for name in names if (ROOT / name).is_file()))


def sources(*tops: str, suffixes: tuple[str, ...] = (".py", ".pyx", ".pxd", ".pyi")) -> list[Path]:
    """Tracked source files below the given top folders (all when none is given)."""
    return [p for p in tracked() if p.suffix in suffixes and (not tops or p.parts[0] in tops)]


@functools.cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def every(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """A test of a path becomes one of all of them, which names each that fails: thousands of tests of a
    millisecond cost more than what they do."""

    def of_all(test: Callable[[Path], None]) -> Callable[[], None]:
        def run() -> None:
            failed = []
            for path in paths:
                try:
                    test(path)
                except AssertionError as error:
                    failed.append(f"{path}: {error}")
            assert not failed, "\n".join(failed)

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        return run

    return of_all

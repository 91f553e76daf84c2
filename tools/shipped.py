"""Runs what `make wheel` and `make deb` left in dist/: the wheels in a fresh virtual environment, the package
unpacked. Each says its version, serves, and becomes ready, with nothing but its own programs on the PATH.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_S = 60.0
STOP_S = 30.0


class DoesNotRun(Exception):
    """What people would install does not do what it should."""


def check(command: Sequence[str], folder: Path) -> None:
    """`command` is how this program is called; it works in `folder`. Raises DoesNotRun."""
    own = {"PATH": str(Path(command[0]).parent)}
    told = subprocess.run(
        [*command, "--version"], cwd=folder, env=own, capture_output=True, text=True, check=False
    )
    if told.returncode or not told.stdout.startswith("qianwan "):
        raise DoesNotRun(f"--version: {told.stdout}{told.stderr}")
    log = folder / "serve.log"
    words = [
        "--http",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "",
        "--data-dir",
        str(folder / "data"),
    ]
    with log.open("w") as output:
        server = subprocess.Popen(
            [*command, "serve", *words], cwd=folder, env=own, stdout=output, stderr=output
        )
    try:
        _ready(server, log)
        server.terminate()
        if code := server.wait(STOP_S):
            raise DoesNotRun(f"it left with {code}:\n{log.read_text()}")
    except subprocess.TimeoutExpired as error:
        raise DoesNotRun(f"{error}\n{log.read_text()}") from error
    finally:
        server.kill()
        server.wait()
    print(f"{command[-1]}: {told.stdout.strip()}, serves")


def _ready(server: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when its /readyz answers 200: its HTTP is where its log says."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        started = [line for line in log.read_text().splitlines() if '"started"' in line and '"http"' in line]
        if started and _answers(f"http://{json.loads(started[0])['http']}/readyz"):
            return
        time.sleep(0.05)
    raise DoesNotRun(f"it is not ready:\n{log.read_text()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def wheels(dist: Path, folder: Path) -> None:
    """Server and client beside each other, as somebody installs both."""
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    place = folder / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(place / "python"), "install", "-q"]
    files = [str(_only(dist, pattern)) for pattern in ("qianwan_server-*.whl", "qianwan_client-*.whl")]
    constraints = ["--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, *constraints, *files], check=True)
    check([str(place / "qianwan")], folder)


def package(dist: Path, folder: Path) -> None:
    """The program is called through its interpreter: its first line names where it is once installed."""
    subprocess.run(["dpkg-deb", "--extract", str(_only(dist, "qianwan_*.deb")), str(folder)], check=True)
    place = folder / "opt" / "qianwan" / "bin"
    check([str(place / "python3"), str(place / "qianwan")], folder)


def _only(dist: Path, pattern: str) -> Path:
    found = sorted(dist.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise DoesNotRun(f"no {pattern} in {dist}")
    return found[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description="run what make wheel and make deb built")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    dist = parser.parse_args().dist
    for look in (wheels, package):
        with tempfile.TemporaryDirectory() as folder:
            try:
                look(dist, Path(folder))
            except DoesNotRun as error:
                print(f"{look.__name__}: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

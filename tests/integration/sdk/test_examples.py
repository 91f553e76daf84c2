"""Every example runs as its own program against a real server, says what it should, and stays short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "sdk" / "python" / "examples"
EXPECTED = {
    "hello": [
        "{alice}: stored as number 1",
        "{bob}: {alice} says 'hello'",
        "{alice}: {bob} says 'hello yourself'",
    ],
    "group": ["{bob}: {alice} says 'Where do we go?'", "[recall]", "'To the sea!'", "{alice} (owner)"],
    "chatroom": ["{bob}: {alice} says 'to the lobby'", "13001"],
    "receipts": ["{bob}: 1 unread", "{alice}: {bob} has read up to 1", "{alice}: 1 read it", "read by {bob}"],
    "offline": ["number 1: 'while you were away, 0'", "bob: closed", "number 3:", "number 4: 'and one more'"],
}


def test_every_example_is_run_and_short() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(EXPECTED)
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 60, path


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(server: ServerProcess, name: str) -> None:
    people = {"alice": f"alice-{name}", "bob": f"bob-{name}"}
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), server.url]
    command += [server.token(user) for user in people.values()]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "sdk" / "python")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    at = -1
    for wanted in EXPECTED[name]:
        found = done.stdout.find(wanted.format(**people), at + 1)
        assert found > at, f"{wanted!r} is missing, or in the wrong place:\n{done.stdout}"
        at = found

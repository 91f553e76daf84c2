"""The SDK's examples: what each must print, and running one as a program of its own."""

from __future__ import annotations

import os
import subprocess

from tests.support.server_process import ROOT, ServerProcess

EXAMPLES = ROOT / "sdk" / "python" / "examples"
EXPECTED = {
    "hello": [
        "{alice}: stored as number ",
        "{bob}: {alice} says 'hello'",
        "{alice}: {bob} says 'hello yourself'",
    ],
    "group": ["{bob}: {alice} says 'Where do we go?'", "[recall]", "'To the sea!'", "{alice} (owner)"],
    "chatroom": ["{bob}: {alice} says 'to the lobby'", "13001"],
    "receipts": [" unread", "{alice}: {bob} has read up to ", "{alice}: 1 read it", "read by {bob}"],
    "offline": [
        "number 1: 'while you were away, 0'",
        "{bob}: closed",
        "number 3:",
        "number 4: 'and one more'",
    ],
}


def run_example(name: str, server: ServerProcess, python: str, **environment: str) -> None:
    """Run one to its end with this interpreter. It must say what it should, in order. The people are those of
    the other examples, as the reader's are.
    """
    if name == "chatroom":
        server.post("/v1/rooms", {"room": "lobby"})  # 409 when it is there
    people = {"alice": "alice", "bob": "bob"}
    command = [python, str(EXAMPLES / f"{name}.py"), server.url, *map(server.token, people.values())]
    done = subprocess.run(
        command,
        cwd=server.data_dir,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    at = -1
    for wanted in EXPECTED[name]:
        found = done.stdout.find(wanted.format(**people), at + 1)
        assert found > at, f"{wanted!r} is missing, or in the wrong place:\n{done.stdout}"
        at = found

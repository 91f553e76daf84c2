"""kill -9 of a service at random moments of everything it does: whole operations only, none lost."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import asyncpg

from tests.support.im_audit import Audit
from tests.support.im_victim import SETTINGS
from tests.support.im_world import open_world

ROOT = Path(__file__).resolve().parents[3]
LIVES = 6


async def one_life(folder: Path, seed: int, seconds: float) -> list[list[str]]:
    """-> the operations the process had seen answered when it was killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.im_victim", str(folder), str(seed),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    first = await process.stdout.readline()
    assert first.strip() == b"ready", (await errors).decode()
    reading = asyncio.create_task(process.stdout.read())
    await asyncio.sleep(seconds)
    assert process.returncode is None, (await errors).decode()
    process.send_signal(signal.SIGKILL)
    said = (await reading).decode()
    await process.wait()
    # A last line without its end was cut by the kill.
    return [line.split() for line in said.split("\n")[:-1]]


async def backends_gone(folder: Path) -> None:
    """PostgreSQL's side of a killed process may still be committing: wait until its backends have ended."""
    dsn = folder / "dsn"
    if not dsn.exists():
        return
    others = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    admin = await asyncpg.connect(dsn.read_text())
    try:
        for _ in range(1500):
            if not await admin.fetchval(others):
                return
            await asyncio.sleep(0.02)
        raise AssertionError("backends of the killed process did not end")
    finally:
        await admin.close()


async def test_kill_at_random_moments_of_every_operation(tmp_path: Path) -> None:
    seed = random.randrange(1 << 20)
    print(f"seed {seed}")
    rng = random.Random(seed)
    said: list[list[str]] = []
    for life in range(LIVES):
        said += await one_life(tmp_path, seed * LIVES + life, rng.uniform(0.1, 2.0))
        await backends_gone(tmp_path)
    print(sorted(Counter(words[0] for words in said).items()))
    assert said
    async with open_world(tmp_path, SETTINGS) as world:
        world.clock.ms = time.time_ns() // 1_000_000
        await Audit(world, said).all()

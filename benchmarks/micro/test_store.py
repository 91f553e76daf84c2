"""What the embedded store does a second, beside the disk's own limit. Information, never a verdict.

    pytest benchmarks/micro/test_store.py --benchmark-only

Every commit is durable (synchronous=FULL), so the disk's fdatasync rate is part of each figure: it is what
`test_fdatasync` shows. `messages_per_s` stands in the extra information of each row.
"""

import asyncio
import itertools
import os
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from im_service.storage.records import HISTORY, AppendResult, Mark, NewLogin, NewMessage, View
from im_service.storage.sqlite import SqliteStore

BRIEF = bool(os.environ.get("QIANWAN_BENCH_BRIEF"))  # only to see that it runs
BATCH = 500
BATCHES = 4 if BRIEF else 40
CONVERSATIONS = 5_000
HISTORY_VIEW = View(((HISTORY, 0),), now_ms=1)

_numbers = itertools.count(1)

T = TypeVar("T")


class Bench:
    """A store and the loop it lives on."""

    def __init__(self, path: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.store = SqliteStore(path)
        self.loop.run_until_complete(self.store.start())
        self._rng = random.Random(7)

    def batch(self, conversations: int = CONVERSATIONS, size: int = BATCH) -> list[NewMessage]:
        """Single-chat messages of 100 bytes, spread at random."""
        made: list[NewMessage] = []
        for _ in range(size):
            number, pair = next(_numbers), self._rng.randrange(conversations)
            client_id = f"{self._rng.getrandbits(64):016x}"
            made.append(
                NewMessage(
                    f"s/u{pair}:w{pair}", f"u{pair}", client_id, b"d" * 16, number, number, 0, b"x" * 100
                )
            )
        return made

    async def commit(self, batches: list[list[NewMessage]]) -> None:
        """All queued at once; back when the last is durable."""
        left = len(batches)
        over = self.loop.create_future()

        def done(result: list[AppendResult] | BaseException) -> None:
            nonlocal left
            left -= 1
            if isinstance(result, BaseException):
                over.set_exception(result)
            elif not left:
                over.set_result(None)

        for batch in batches:
            self.store.append(batch, done)
        await over

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(_wrap(work))


async def _wrap(work: Awaitable[T]) -> T:
    return await work


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "store.sqlite3")
    yield made
    made.run(made.store.stop())
    made.loop.close()


def _appends(benchmark: Any, bench: Bench, batches: Callable[[], list[list[NewMessage]]]) -> None:
    count = 0

    def setup() -> tuple[tuple[list[list[NewMessage]]], dict[str, object]]:
        nonlocal count
        made = batches()
        count = sum(map(len, made))
        return (made,), {}

    bench.run(bench.commit(batches()))  # names interned, caches warm
    benchmark.pedantic(lambda made: bench.run(bench.commit(made)), setup=setup, rounds=2 if BRIEF else 8)
    benchmark.extra_info["messages_per_s"] = round(count / benchmark.stats.stats.median)


def test_append(benchmark: Any, bench: Bench) -> None:
    """Batches of 500 for 5,000 conversations, the writer never idle."""
    _appends(benchmark, bench, lambda: [bench.batch() for _ in range(BATCHES)])


def test_append_few_conversations(benchmark: Any, bench: Bench) -> None:
    """The same into 50 conversations: fewer heads to move."""
    _appends(benchmark, bench, lambda: [bench.batch(50) for _ in range(BATCHES)])


def test_append_one_by_one(benchmark: Any, bench: Bench) -> None:
    """One message, one commit, one fdatasync: what a lonely sender waits for."""
    _appends(benchmark, bench, lambda: [bench.batch(size=1)])


def test_append_repeated(benchmark: Any, bench: Bench) -> None:
    """Every message is a repetition: the dedupe path."""
    sent = [bench.batch() for _ in range(BATCHES)]
    _appends(benchmark, bench, lambda: sent)


def test_ack(benchmark: Any, bench: Bench) -> None:
    """Delivery watermarks of 500 devices, group-committed."""
    bench.run(bench.commit([bench.batch(500) for _ in range(10)]))

    async def logins() -> None:
        await bench.store.logins([NewLogin(f"w{n}", "d", 1, 1) for n in range(500)], 1)

    async def acks() -> None:
        seq = next(_numbers)
        await asyncio.gather(
            *(bench.store.ack(f"w{n}", "d", [Mark(f"s/u{n}:w{n}", seq % 10)]) for n in range(500))
        )

    bench.run(logins())
    benchmark.pedantic(lambda: bench.run(acks()), rounds=20)
    benchmark.extra_info["acks_per_s"] = round(500 / benchmark.stats.stats.median)


def test_pull_200(benchmark: Any, bench: Bench) -> None:
    """A full page of history."""
    bench.run(bench.commit([bench.batch(1)]))
    benchmark(lambda: bench.run(bench.store.pull("w0", "s/u0:w0", 1, None, 200, HISTORY_VIEW)))


def test_changed_500(benchmark: Any, bench: Bench) -> None:
    """500 conversations named to a device that comes back."""
    made = [message._replace(conversation=f"s/a:b{n}") for n, message in enumerate(bench.batch())]
    bench.run(bench.commit([made]))
    benchmark(lambda: bench.run(bench.store.changed("a", "d", 0, 500)))


def test_unread_10000(benchmark: Any, bench: Bench) -> None:
    """Counting 10,000 unread messages in 100 conversations."""
    for _ in range(20):
        made = [m._replace(conversation=f"s/a:b{n % 100}") for n, m in enumerate(bench.batch())]
        bench.run(bench.commit([made]))
    benchmark(lambda: bench.run(bench.store.unread("a", None, 1)))


def test_fdatasync(benchmark: Any, tmp_path: Path) -> None:
    """The disk alone: append 4 KiB, wait until it is safe."""
    with (tmp_path / "raw").open("wb", buffering=0) as raw:

        def once() -> None:
            raw.write(b"x" * 4096)
            os.fdatasync(raw.fileno())

        benchmark(once)

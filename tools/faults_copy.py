"""`make faults`: kill -9 of every process while people send and change things, and whether each consumer of
the event copy has what was committed: all of it, in order, nothing else.

python -m tools.faults_copy --count 100000 --seeds 1 2 3
python -m tools.faults_copy --count 5000 --stores postgres --seeds 7 --json found.json
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvloop

from benchmarks.machine import commit, machine
from tests.support.event_copy.run import Outcome, Size, run
from tests.support.kafka_process import why_not
from tests.support.postgres_server import PostgresServer

STORES = {"sqlite": 1, "postgres": 2}
"""Im processes beside a gateway and a control process."""
COLUMNS = "{:<9} {:>10} {:<10} {:>9} {:>9} {:>6} {:>11} {:>7} {:>5} {:>7}"
HEADINGS = (
    "store", "seed", "consumer", "committed", "had", "lost", "uncommitted", "swapped", "wrong", "repeats",
)  # fmt: skip


@contextmanager
def dsn_of(store: str) -> Iterator[str]:
    if store == "sqlite":
        yield ""
    else:
        with PostgresServer() as server:
            yield server.dsn()


def tried(store: str, seed: int, arguments: argparse.Namespace) -> Outcome:
    two = STORES[store] > 1
    size = Size(
        arguments.count, arguments.people, arguments.kills, STORES[store],
        stops=arguments.kills if two else 0, drains=arguments.kills if two else 0, kafka=not why_not(),
    )  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="qianwan-copy-"))
    try:
        with dsn_of(store) as dsn, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run(folder, dsn, size, seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(outcome: Outcome) -> None:
    for name, one in outcome.consumers.items():
        print(COLUMNS.format(
            outcome.store, outcome.seed, name, outcome.committed, one.had, one.lost, one.uncommitted,
            one.swapped, one.wrong, one.repeats,
        ))  # fmt: skip
    faults = ", ".join(f"{what} {times}" for what, times in sorted(outcome.faults.items()))
    print(
        f"  acknowledged: {outcome.messages} messages, {outcome.changes} changes in {outcome.took_s:.0f} s;"
        f" all delivered {outcome.behind_s:.0f} s later; {faults}"
    )
    for complaint in outcome.complaints:
        print(f"  {complaint}")
    sys.stdout.flush()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="messages and changes of a run")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--kills", type=int, default=3, help="of each process")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[random.SystemRandom().randrange(1 << 32) for _ in range(3)]
    )
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--json", type=Path, help="write what was found")
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    if reason := why_not():
        print(f"without Kafka: {reason}", file=sys.stderr)
    logging.getLogger("qianwan").setLevel(logging.ERROR)  # that they reconnect is what they are here for
    print(COLUMNS.format(*HEADINGS), flush=True)
    found: list[Outcome] = []
    for store in arguments.stores:
        for seed in arguments.seeds:
            found.append(tried(store, seed, arguments))
            show(found[-1])
            if arguments.json:
                made = {
                    "of": "the event copy while every process is killed",
                    "command": shlex.join(["-m", "tools.faults_copy", *sys.argv[1:]]),
                    "machine": machine(),
                    "commit": commit(),
                    "runs": found,
                }
                arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    return int(any(each.complaints for each in found))


if __name__ == "__main__":
    sys.exit(main())

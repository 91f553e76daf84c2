"""Instructions per delivered and per relayed message under callgrind, compared with the committed figure.

    python tools/instructions.py            compare, exit code 1 beyond the tolerance
    python tools/instructions.py --update   write the figures that were counted

The gateway core runs alone (benchmarks/core_alone.py) with one loop under callgrind; only the loop's thread
counts, user space only. Each case runs twice with different numbers of messages; the difference divided by
the extra deliveries is the figure, so that start, logins and the end cancel out. Unlike times, these
numbers repeat to within about one per cent on a busy machine; a case may grow by TOLERANCE before it fails,
a fall beyond it asks for --update.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "benchmarks" / "results" / "instructions.json"
TOLERANCE = 0.10
TIMEOUT_S = 240.0
TEXT_SIZE = 60
SUITE_AEGIS128L = 3


@dataclass(frozen=True, slots=True)
class Case:
    """`burst` messages are written at once and awaited, `few` or `many` times; each reaches `members`
    clients.
    """

    name: str
    members: int
    burst: int
    few: int
    many: int
    pair: bool = False


CASES = (
    Case("delivered, K = 64", members=100, burst=64, few=4, many=24),
    Case("delivered, K = 1", members=100, burst=1, few=20, many=120),
    Case("relayed", members=2, burst=1, few=50, many=650, pair=True),
)


def drive(case: Case, bursts: int, where: dict[str, Any]) -> int:
    """Log the clients in, send, and wait for every delivery. Returns the number of deliveries."""
    from benchmarks.loadgen.fleet.tokens import TokenMint
    from benchmarks.loadgen.swarm import Swarm

    count = case.members + (0 if case.pair else 1)
    swarm = Swarm(
        wire="qw1", gateways=[("127.0.0.1", where["port"])], count=count, tracked=case.members, first=0,
        slots=1, pair=case.pair, text_size=TEXT_SIZE, suite=SUITE_AEGIS128L, key_id=where["key_id"],
        server_key=bytes.fromhex(where["server_key"]), core=True,
    )  # fmt: skip
    swarm.login_with(*TokenMint("k", "11" * 32, "bench", "bench").mint(f"b{i}" for i in range(count)))
    deadline = time.monotonic() + TIMEOUT_S

    def until(name: str, value: int) -> None:
        while swarm.counters()[name] < value:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{case.name}: {swarm.counters()[name]} of {value} {name}")
            swarm.run(time.monotonic_ns() + 2_000_000)

    swarm.connect(count, 4)
    until("live", count)
    if not case.pair:
        swarm.join(b"r/hall", count, 4)
        until("joined", count)
    heard = 1 if case.pair else case.members
    for burst in range(1, bursts + 1):
        now = time.monotonic_ns()
        swarm.schedule(
            first=0 if case.pair else case.members, step=1, publisher=0,
            targets=[b"u/b1" if case.pair else b"r/hall"], interval_ns=1.0, start=now - case.burst, stop=now,
        )  # fmt: skip
        until("tracked", burst * case.burst * heard)
        until("acked", burst * case.burst)
    swarm.close_all()
    return bursts * case.burst * heard


def loop_instructions(folder: Path) -> int:
    """Instructions of every thread but the first, from callgrind's per-thread files."""
    total = 0
    for file in folder.glob("callgrind.out.*-*"):
        if file.name.endswith("-01"):
            continue
        for line in file.read_text().splitlines():
            if line.startswith(("summary:", "totals:")):
                total += int(line.split()[1])
                break
    return total


def count(case: Case, bursts: int) -> tuple[int, int]:
    """(instructions of the loop, deliveries) of one run."""
    prefix = "u/" if case.pair else "r/"
    config = {"loops": 1, "relay_prefix": prefix, "inbound_per_s": 0, "ephemerals": 1}
    with tempfile.TemporaryDirectory(prefix="qianwan-instructions-") as name:
        folder = Path(name)
        words = [
            "valgrind", "--tool=callgrind", "--separate-threads=yes",
            f"--callgrind-out-file={folder}/callgrind.out.%p",
            sys.executable, "-m", "benchmarks.core_alone", "--config", json.dumps(config),
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            first = server.stdout.readline()
            if not first:
                raise RuntimeError((folder / "log").read_text(errors="replace")[-2000:])
            deliveries = drive(case, bursts, json.loads(first))
            server.stdin.close()
            server.wait(60)
        finally:
            server.kill()
            server.wait()
        return loop_instructions(folder), deliveries


def measure(case: Case) -> float:
    """Instructions per delivery."""
    few, few_deliveries = count(case, case.few)
    many, many_deliveries = count(case, case.many)
    return round((many - few) / (many_deliveries - few_deliveries), 1)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="write the counted figures")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is not installed (apt-get install valgrind)", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT))
    committed: dict[str, float] = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else {}
    found: dict[str, float] = {}
    failed = False
    for case in CASES:
        found[case.name] = value = measure(case)
        known = committed.get(case.name)
        change = (value - known) / known if known else 0.0
        bad = abs(change) > TOLERANCE or known is None
        failed = failed or bad
        verdict = "" if not bad else "  <- beyond the tolerance" if known else "  <- not committed"
        print(
            f"{case.name:20} {value:10,.1f} instructions, committed {known or 0:,.1f}  {change:+.1%}{verdict}"
        )
    if options.update:
        COMMITTED.parent.mkdir(parents=True, exist_ok=True)
        COMMITTED.write_text(json.dumps(found, indent=2) + "\n")
        return 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

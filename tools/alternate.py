"""One benchmark in two checkouts, turn and turn about, so that a noisy neighbour meets both.

    python tools/alternate.py CHECKOUT fanout --rate 2000 --seconds 5
    python tools/alternate.py --runs 3 CHECKOUT relay --core

CHECKOUT is the other one, with its C modules built; what follows are the words of `qianwan bench`. Prints
every run, the medians, and the ratio of this checkout to the other. A fixed `--rate` compares what the server
used for the same work, `auto` what it can do. Both run on this Python; each imports its own modules only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TypedDict

ROOT = Path(__file__).resolve().parent.parent


class Report(TypedDict):
    """What is read of a figure's JSON."""

    throughput_per_s: float
    seconds: float
    latency_ms: dict[str, float]
    server: dict[str, float]


def figures(report: Report) -> dict[str, float]:
    """The numbers of one run that are compared."""
    delivered = report["throughput_per_s"] * report["seconds"]
    return {
        "messages a second": report["throughput_per_s"],
        "p99, ms": report["latency_ms"]["p99"],
        "server CPU, ns a message": report["server"]["cpu_s"] / delivered * 1e9 if delivered else 0.0,
    }


def bench(checkout: Path, words: Sequence[str]) -> dict[str, float]:
    """One run of `qianwan bench` there. RuntimeError with its last words when it fails."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())
    module, function = project["project"]["scripts"]["qianwan"].split(":")
    with tempfile.TemporaryDirectory(prefix="qianwan-alternate-") as folder:
        out = Path(folder) / "figure.json"
        start = f"import sys; sys.argv[0] = 'qianwan'; from {module} import {function}; {function}()"
        run = subprocess.run(
            [sys.executable, "-c", start, "bench", *words, "--json", str(out)],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'sdk' / 'python'}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if not out.exists():
            raise RuntimeError(f"{checkout}: {(run.stderr or run.stdout)[-2000:]}")
        return figures(json.loads(out.read_text()))


def alternate(other: Path, runs: int, words: Sequence[str]) -> list[tuple[str, float, float]]:
    """(figure, median there, median here) of so many runs of each."""
    found: dict[Path, list[dict[str, float]]] = {other: [], ROOT: []}
    for turn in range(runs):
        for checkout in (other, ROOT) if turn % 2 == 0 else (ROOT, other):
            found[checkout].append(bench(checkout, words))
            told = ", ".join(f"{name} {value:,.1f}" for name, value in found[checkout][-1].items())
            print(f"{'here' if checkout == ROOT else 'there':5}  {told}", flush=True)
    return [
        (name, median(run[name] for run in found[other]), median(run[name] for run in found[ROOT]))
        for name in found[ROOT][0]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, metavar="CHECKOUT", help="the other one")
    parser.add_argument("--runs", type=int, default=5, help="of each (default 5)")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="of `qianwan bench`")
    options = parser.parse_args()
    rows = alternate(options.other.resolve(), options.runs, options.words)
    print(f"{'median of ' + str(options.runs):26} {'there':>14} {'here':>14}   ratio")
    for name, there, here in rows:
        print(f"{name:26} {there:14,.1f} {here:14,.1f}   {here / there if there else 0:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Every micro benchmark still runs, as briefly as it may, so that none rots between the days it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# One round each: some benchmarks report their own rate and so need to be timed.
BRIEF = ("--benchmark-max-time=0.001", "--benchmark-min-rounds=1", "--benchmark-calibration-precision=1")


@pytest.mark.slow
def test_every_micro_benchmark_runs() -> None:
    words = [sys.executable, "-m", "pytest", "-q", "benchmarks/micro", *BRIEF]
    # pytest-benchmark measures nothing where it takes itself for one lane of several.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    alone["QIANWAN_BENCH_BRIEF"] = "1"
    done = subprocess.run(
        words, cwd=ROOT, env=alone, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "passed" in done.stdout

"""`qianwan bench catchup` with a few messages: it reads what is lacking and says so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ENGINES = ("sqlite",)
ROOT = Path(__file__).resolve().parents[3]


def test_what_the_device_has_is_not_read_again() -> None:
    words = ["bench", "catchup", "--conversations", "5", "--each", "20", "--known", "200", "--bound", "60"]
    done = subprocess.run(
        [sys.executable, "-m", "program", *words],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 messages in 5 conversations" in done.stdout
    assert "1,000 known ones not read again; 0 came twice" in done.stdout
    rows = re.search(r"gave ([\d,]+) rows", done.stdout)
    assert rows
    assert 100 <= int(rows[1].replace(",", "")) < 200

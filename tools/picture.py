"""Writes docs/top.svg, the picture of the README: `qianwan top` while `qianwan demo` runs, and its count.

    make build && python tools/picture.py

Both are the real programs. Of the readings of `top` the one with the most frames going out is shown.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "top.svg"
PROGRAM = Path(sys.executable).parent / "qianwan"
WIDTH = 104
DEMO = ("--messages", "1000", "--members", "1000", "--broadcasts", "400")
TOP = ("--interval", "1")
SERVER = re.compile(r"http://[\d.:]+")
FRAMES_OUT = re.compile(r"out ([\d,]+) frames/s")
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def start(*words: str) -> subprocess.Popen[str]:
    """The program with colours, as on a terminal of WIDTH columns, without the cursor jumping about."""
    env = {**os.environ, "FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(WIDTH)}
    return subprocess.Popen([PROGRAM, *words], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)


def lines(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def frames_out(reading: str) -> int:
    found = FRAMES_OUT.search(" ".join(ANSI.sub("", reading).split()))
    return int(found[1].replace(",", "")) if found else 0


def watch(demo: subprocess.Popen[str], url: str) -> str:
    """The busiest of the readings of `top` while the demo runs."""
    readings = [""]
    while demo.poll() is None:
        with start("top", "--once", *TOP, "--url", url) as top:
            readings.append(lines(top.stdout).read())
    return max(readings, key=frames_out)


def main() -> int:
    with start("demo", *DEMO) as demo:
        output = lines(demo.stdout)
        first = output.readline()
        address = SERVER.search(ANSI.sub("", first))
        if not address:
            raise SystemExit(f"the demo did not say where its server is: {first}")
        reading = watch(demo, address[0])
        rest = output.read()
    if demo.returncode or not frames_out(reading):
        raise SystemExit(f"no picture: the demo left with {demo.returncode}\n{rest}")
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for command, shown in (("qianwan top", reading), ("qianwan demo", first + rest)):
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text.from_ansi(shown.strip()))
        console.print()
    PICTURE.write_text(console.export_svg(title="qianwan", unique_id="qianwan"), "utf-8")
    print(PICTURE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The C headers stand alone and compile without a warning, which Cython's own code would drown."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.tree import ROOT

HEADERS = sorted((ROOT / "frame/includes").glob("*.h"))
FLAGS = "-std=gnu11 -O1 -c -Werror -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wcast-qual"


@pytest.mark.parametrize("header", HEADERS, ids=lambda h: h.name)
def test_a_header_compiles_alone_and_twice_without_warnings(header: Path, tmp_path: Path) -> None:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header}"\n#include "{header}"\n')
    command = [compiler, *FLAGS.split(), f"-I{ROOT}", str(source), "-o", f"{source}.o"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""The function tables of libsodium and libzstd say what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HIDE = """
import sys, types
import {real} as real
class Lib:
    def __getattr__(self, name):
        if name == {symbol!r}:
            raise AttributeError(name)
        return getattr(real.lib, name)
class Ffi:
    def addressof(self, lib, name):
        return real.ffi.addressof(real.lib, name)
    def cast(self, kind, value):
        return real.ffi.cast(kind, value)
fake = types.ModuleType({real!r})
fake.lib, fake.ffi = Lib(), Ffi()
sys.modules[{real!r}] = fake
sys.modules[{parent!r}].{child} = fake
import crypto
"""


@pytest.mark.parametrize(
    ("module", "symbol", "needs"),
    [
        ("nacl._sodium", "crypto_aead_aegis128l_encrypt", "PyNaCl >= 1.6"),
        ("nacl._sodium", "crypto_scalarmult", "PyNaCl >= 1.6"),
        ("zstandard._cffi", "ZSTD_compress2", "zstandard >= 0.23"),
    ],
)
def test_a_missing_function_is_named_with_the_version_that_has_it(
    module: str, symbol: str, needs: str
) -> None:
    parent, child = module.split(".")
    script = HIDE.format(real=module, symbol=symbol, parent=parent, child=child)
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert run.returncode != 0
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError")
    assert symbol in last
    assert needs in last

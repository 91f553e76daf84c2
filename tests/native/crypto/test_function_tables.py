"""The function tables of libsodium and libzstd say what is missing, and stale modules do not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import crypto
from crypto import aead, handshake, noise, symmetric

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


def test_modules_agree_on_the_structs_they_share() -> None:
    assert aead.LAYOUT["CipherState"] == noise.LAYOUT["CipherState"] == (40, 32)
    assert symmetric.LAYOUT["SymmetricState"] == handshake.LAYOUT["SymmetricState"]
    assert handshake.LAYOUT["Handshake"] == noise.LAYOUT["Handshake"]


def test_a_stale_module_is_an_import_error_that_names_both() -> None:
    stale = {"CipherState": (48, 40)}
    with pytest.raises(
        ImportError, match=r"old\.module and crypto\.aead disagree on the layout of CipherState"
    ):
        crypto.compare_layouts([("crypto.aead", aead.LAYOUT), ("old.module", stale)])
    crypto.compare_layouts([("crypto.aead", aead.LAYOUT), ("crypto.noise", noise.LAYOUT)])

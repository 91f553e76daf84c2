"""Leaf and net of the gateway core know no Loop, and each of their modules is tested without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.tree import ROOT, every, sources, text

BELOW = [p for p in sources("gateway_core", suffixes=(".pyx", ".pxd")) if p.parts[1] in ("leaf", "net")]


@every(BELOW)
def test_below_conn_nobody_knows_the_loop(path: Path) -> None:
    code = re.sub(r'""".*?"""|#[^\n]*', "", text(path), flags=re.DOTALL)
    assert not re.search(r"\b(?:Loop|Engine)\b|gateway_core\.types", code)


@pytest.mark.parametrize("module", sorted({p.with_suffix("") for p in BELOW}), ids=str)
def test_every_module_below_conn_has_a_native_test(module: Path) -> None:
    _, floor, name = module.parts
    tests = ROOT / "tests" / "native" / "gateway_core"
    assert (tests / floor / f"test_{name}.py").is_file()
    assert f"gateway_core.{floor}.{name} cimport" in (tests / "faces" / f"{floor}.pyx").read_text()
    faces = (tests / "faces" / f"{floor}.pyx").read_text()
    assert "gateway_core.types" not in faces

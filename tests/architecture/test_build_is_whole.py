"""The build table, the generated files, the layout marks and the names we occupy."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
import sys

import pytest

from tests.support.tree import FLOORS, ROOT, sources, text


def modules() -> list[str]:
    """Modules of the table in setup.py."""
    table = (ROOT / "setup.py").read_text().split("MODULES-BEGIN", 1)[1].split("MODULES-END", 1)[0]
    return re.findall(r'"([\w.]+)":', table)


def test_every_module_stands_in_the_table_once() -> None:
    named = modules()
    assert len(named) == len(set(named))
    written = sources(*FLOORS, "benchmarks", suffixes=(".pyx",))
    built = {".".join(p.with_suffix("").parts) for p in written}
    assert set(named) == built


@pytest.mark.parametrize("module", modules())
def test_every_module_imports(module: str) -> None:
    importlib.import_module(module)


def test_generated_files_are_fresh() -> None:
    check = subprocess.run(
        [sys.executable, "tools/generate.py", "--check"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("floor", ["frame", "crypto", "gateway_core"])
def test_modules_with_shared_structs_export_a_layout_mark(floor: str) -> None:
    """A module that exports a struct by value must let its importers compare the layout at import."""
    for path in sources(floor, suffixes=(".pxd",)):
        source = text(path)
        module = path.with_suffix(".pyx")
        if "cdef struct" not in source or not (ROOT / module).exists():
            continue
        assert "LAYOUT" in text(module), f"{module} shares a struct but exports no LAYOUT"


@pytest.mark.parametrize("package", ["frame", "crypto", "gateway_core", "im_service", "control", "qianwan"])
def test_no_other_distribution_owns_our_names(package: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(package, []))
    assert owners <= {"qianwan-server", "qianwan-client"}


def test_sizes_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A mirror, not a judge: the outliers are printed for the reader."""
    limits = {".pyx": 450, ".pxd": 150, ".py": 350}
    large = [(len(text(p).splitlines()), p) for p in sources() if p.suffix in limits]
    with capsys.disabled():
        for lines, path in sorted(large, reverse=True):
            if lines > limits[path.suffix]:
                print(f"\n  {lines:5} lines  {path}", end="")
    assert large

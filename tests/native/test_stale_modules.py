"""A C module that was built before a shared struct changed is refused when it is imported, by name."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tree import ROOT

# loaded when somebody wants them
USE = {"gateway_core": "gateway_core.Gateway", "control.routing": "control.routing.make_routes()"}
PACKAGES = ("cmodules", "frame", "crypto", "gateway_core", "control")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The packages as they are installed: Python files and libraries, no sources."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.pyx", "*.h", "__pycache__")
        )
    return tmp_path


def grow_stale(tree: Path, module: str, path: str) -> None:
    """The library of this module, as if `path` had been another one when it was built."""
    (library,) = tree.glob(module.replace(".", "/") + ".*.so")
    code = library.read_bytes()
    stale = re.sub(rb"(?<=%s=)[0-9a-f]{8}" % path.encode(), b"00000000", code)
    assert stale != code, f"{module} carries no mark of {path}"
    library.write_bytes(stale)


def load(tree: Path, package: str) -> str:
    """What an import says last; "" when it works."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import {package}; assert {package}.__file__.startswith({str(tree)!r}); {USE.get(package, '')}",
        ],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stderr.strip().splitlines()[-1] if run.returncode else ""


@pytest.mark.parametrize(
    ("module", "path", "package"),
    [
        ("frame.websocket", "frame/includes/codes.h", "frame"),
        ("crypto.noise", "crypto/aead.pxd", "crypto"),
        ("gateway_core.conn.pending", "gateway_core/leaf/shared_buf.pxd", "gateway_core"),
        ("gateway_core.engine.loop", "gateway_core/types.pxd", "gateway_core"),
        ("gateway_core.net.sender", "gateway_core/includes/uring.h", "gateway_core"),
        ("gateway_core.conn.session", "crypto/aead.pxd", "gateway_core"),
        ("control.routing.compact", "control/routing/table.pxd", "control.routing"),
        ("control.routing.table", "crypto/sodium.pxd", "control.routing"),
    ],
)
def test_a_stale_module_is_refused_by_name(built: Path, module: str, path: str, package: str) -> None:
    assert load(built, package) == ""
    grow_stale(built, module, path)
    error = load(built, package)
    assert error.startswith("ImportError: ")
    assert module in error
    assert f"different versions of {path}; run `make build`" in error

"""The SDK stands alone: it imports itself, PyNaCl, msgspec and the standard library, and nothing of the
server.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).resolve().parents[3] / "sdk" / "python"
ALLOWED = {"qianwan", "nacl", "msgspec"}
OPTIONAL = {"qianwan/protocol/zstd.py": {"zstandard"}}


@pytest.mark.parametrize("path", sorted(SDK.rglob("*.py")), ids=lambda path: str(path.relative_to(SDK)))
def test_imports(path: Path) -> None:
    allowed = ALLOWED | set(sys.stdlib_module_names) | OPTIONAL.get(str(path.relative_to(SDK)), set())
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in allowed, name


def test_protocol_does_no_io() -> None:
    for path in (SDK / "qianwan" / "protocol").glob("*.py"):
        tree = ast.parse(path.read_text())
        names = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not names & {"asyncio", "socket", "ssl", "time", "threading", "urllib.request"}, path

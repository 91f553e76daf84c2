"""One name, one thing: within a package a class is called as no other is.

Two kinds are not told apart by their names: the argument maps of calls (`CreateArgs` of a group and of a
room), and the twins of the two engines of a store.
"""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest

from tests.support.tree import sources, text

# The wire has the same names at both ends, so packages are looked at one by one. Not yet control and the SDK.
PACKAGES = ("frame", "crypto", "gateway_core", "im_service", "program", "tools")
TWINS = ("sqlite", "postgres")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_classes_have_one_name(package: str) -> None:
    where: dict[str, set[str]] = defaultdict(set)
    for path in sources(package, suffixes=(".py",)):
        for node in ast.parse(text(path)).body:
            if isinstance(node, ast.ClassDef) and not node.name.endswith("Args"):
                twin = str(path)
                for name in TWINS:
                    twin = twin.replace(f"/{name}/", "/*/")
                where[node.name].add(twin)
    double = {name: sorted(paths) for name, paths in where.items() if len(paths) > 1}
    assert not double

"""docs/PROTOCOL.md lists what a refusal may carry for programs, each key with the codes it comes with."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from im_service.errors import Code
from tests.support.tree import ROOT


def listed() -> Mapping[str, set[int]]:
    page = (ROOT / "docs" / "PROTOCOL.md").read_text()
    table = page.split("| key | with code | meaning |", 1)[1].split("\n\n", 1)[0]
    found: dict[str, set[int]] = {}
    for row in table.splitlines()[2:]:
        keys, codes = row.split("|")[1:3]
        for key in re.findall(r"`(\w+)`", keys):
            found[key] = {int(code) for code in re.findall(r"\d+", codes)}
    return found


def keys_of(node: ast.AST | None) -> list[str]:
    keys = node.keys if isinstance(node, ast.Dict) else []
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def given() -> Iterator[tuple[str, int | None]]:
    """(key, code) of every refusal in the source; None where the code is not written beside it."""
    for path in (ROOT / "im_service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ImError":
                code, _, detail = [*node.args, None, None, None][:3]
                told = int(getattr(Code, code.attr)) if isinstance(code, ast.Attribute) else None
                yield from ((key, told) for key in keys_of(detail))
            elif isinstance(node, ast.AnnAssign) and getattr(node.annotation, "id", "") == "Detail":
                yield from ((key, None) for key in keys_of(node.value))


def test_every_key_of_a_detail_is_on_the_page_with_its_code() -> None:
    page = listed()
    source: defaultdict[str, set[int | None]] = defaultdict(set)
    for key, code in given():
        source[key].add(code)
    assert set(source) == set(page)
    for key, codes in source.items():
        assert codes - {None} <= page[key], key

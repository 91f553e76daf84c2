"""docs/MESSAGES.md lists every notice that the service sends, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.support.tree import ROOT

CARRIERS = {"event", "events", "mine", "notice_event", "put_out", "drop", "_tell"}
"""Functions that take a notice's name."""
NAME = re.compile(r"[a-z]+(\.[a-z_]+)?")


def sent() -> Iterator[str]:
    for path in (ROOT / "im_service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in CARRIERS:
                yield from (
                    arg.value
                    for arg in node.args
                    if isinstance(arg, ast.Constant)
                    and isinstance(arg.value, str)
                    and NAME.fullmatch(arg.value)
                )


def listed() -> list[str]:
    page = (ROOT / "docs" / "MESSAGES.md").read_text()
    table = page.split("| notice | to | data |", 1)[1].split("\n\n", 1)[0]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_notice_is_on_the_page_and_every_one_of_the_page_is_sent() -> None:
    names = listed()
    assert len(names) == len(set(names))
    # `_tell` also names what happened to a queue, within the notice `room.queue`.
    assert set(names) == set(sent()) - {"put", "poll", "drop", "exit"}

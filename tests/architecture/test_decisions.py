"""The index of decisions names every page once, by its number, and nothing else."""

from __future__ import annotations

import re

from tests.support.tree import ROOT

FOLDER = ROOT / "docs" / "decisions"
ROW = re.compile(r"^\| \[(\d{4})\]\(([\w.-]+\.md)\) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def test_the_index_names_every_decision_in_order() -> None:
    rows = ROW.findall((FOLDER / "README.md").read_text("utf-8"))
    pages = sorted(path.name for path in FOLDER.glob("[0-9]*.md"))
    assert [page for _, page, _, _ in rows] == pages
    assert all(page.startswith(number) for number, page, _, _ in rows)


def test_no_two_decisions_have_one_number() -> None:
    numbers = [path.name[:4] for path in FOLDER.glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers))

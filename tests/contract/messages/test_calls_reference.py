"""The table of calls in docs/MESSAGES.md is what the service offers."""

from __future__ import annotations

from pathlib import Path

from tools.reference_calls import all_methods, rewritten

PAGE = Path(__file__).resolve().parents[3] / "docs" / "MESSAGES.md"


def test_the_page_is_fresh() -> None:
    page = PAGE.read_text()
    assert rewritten(page) == page, "run: python -m tools.reference_calls docs/MESSAGES.md"


def test_every_method_says_what_it_does() -> None:
    methods = all_methods()
    assert len(methods) > 60
    for method in methods.values():
        assert method.doc, method.name
        assert method.result.startswith("{"), method.name

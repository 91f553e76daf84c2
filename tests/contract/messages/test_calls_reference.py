"""The table of calls in docs/MESSAGES.md is what the service offers."""

from __future__ import annotations

from pathlib import Path

from im_service.methods import METHODS
from tools.reference_calls import rewritten

PAGE = Path(__file__).resolve().parents[3] / "docs" / "MESSAGES.md"


def test_the_page_is_fresh() -> None:
    page = PAGE.read_text()
    assert rewritten(page) == page, "run: python -m tools.reference_calls docs/MESSAGES.md"


def test_every_method_says_what_it_does() -> None:
    assert len(METHODS) > 60
    for method in METHODS.values():
        assert method.doc, method.name
        assert method.result.startswith("{"), method.name

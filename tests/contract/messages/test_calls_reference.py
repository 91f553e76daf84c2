"""The methods as the table of calls in docs/MESSAGES.md shows them."""

from __future__ import annotations

from im_service.methods import METHODS
from tools.parts.calls import calls_table


def test_every_method_says_what_it_does() -> None:
    assert len(METHODS) > 60
    for method in METHODS.values():
        assert method.doc, method.name
        assert method.result.startswith("{"), method.name


def test_the_table_has_a_row_for_every_method_with_its_refusals() -> None:
    rows = calls_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(METHODS)
    for row, method in zip(rows, METHODS.values(), strict=True):
        for code in method.errors:
            assert str(int(code)) in row, method.name

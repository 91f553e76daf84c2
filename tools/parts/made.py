"""What a part of the generator makes, and how tables are written. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Made(NamedTuple):
    """Whole files by their path, and the parts of pages by page and name."""

    files: dict[str, str]
    tables: dict[str, dict[str, str]]


def markdown(heads: list[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; `|` in a cell is escaped."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)

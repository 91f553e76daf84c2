"""docs/MODERATION.md: its list, and what it says becomes of each text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from im_service.moderation.lists import parse_list
from im_service.moderation.matcher import Matcher

PAGE = (Path(__file__).parents[4] / "docs" / "MODERATION.md").read_text("utf-8")
LIST = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
ROWS = re.findall(
    r"^\| (.+?) \| (.+?) \| .+ \|$", PAGE.split("## Disguises")[1].split("## What it costs")[0], re.M
)


def test_the_page_has_a_list_and_texts() -> None:
    assert parse_list(LIST.encode()).action == "mask"
    assert len(ROWS) >= 12


@pytest.mark.parametrize(("text", "becomes"), [row for row in ROWS if row[0] != "text"], ids=ascii)
def test_a_text_becomes_what_the_page_says(text: str, becomes: str) -> None:
    matcher = Matcher({"fraud": parse_list(LIST.encode())})
    assert matcher.look([text]).changed().get(0, text) == becomes

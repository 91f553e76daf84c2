"""The grammar of ids and what stands before them are written once, in the specification."""

from __future__ import annotations

import re
from pathlib import Path

from frame.constants import GROUP_PREFIX, ID_PATTERN, NAME_MAX, ROOM_PREFIX, SINGLE_PREFIX, USER_PREFIX
from tests.support.tree import every, sources, text

GRAMMAR = re.compile(r"A-Za-z0-9_\.@-")
PREFIX = re.compile(r"""(?<!`)[\"'][sgru]/(?=[\"'{])""")
BY_HAND = re.compile(r"(?i)\bcode\b[\w.]*(?:: [\w\[\]]+)? *(?:[=!<>]=?|in \()+ *(?:[1-9]\d\d|\d{4,5})\b")
GENERATED = Path("frame/constants.py")


PYTHON = sources("im_service", "control", "program", "benchmarks", "sdk/python/qianwan", suffixes=(".py",))


@every([*PYTHON, *sources("gateway_core")])
def test_nobody_writes_a_prefix_by_hand(path: Path) -> None:
    assert path.name == GENERATED.name or not PREFIX.search(text(path)), path


@every(sources("frame", "im_service", "control", suffixes=(".py",)))
def test_the_grammar_of_ids_stands_in_the_specification_only(path: Path) -> None:
    assert path == GENERATED or not GRAMMAR.search(text(path)), path


def test_the_grammar_and_the_limit_of_a_name_agree() -> None:
    longest = "x" * NAME_MAX
    assert re.fullmatch(ID_PATTERN, longest)
    assert not re.fullmatch(ID_PATTERN, longest + "x")
    assert not re.fullmatch(ID_PATTERN, "")


def test_prefixes_are_two_characters_and_no_id_begins_with_one() -> None:
    prefixes = {USER_PREFIX, GROUP_PREFIX, ROOM_PREFIX, SINGLE_PREFIX}
    assert len(prefixes) == 4
    for prefix in prefixes:
        assert len(prefix) == 2
        assert not re.fullmatch(ID_PATTERN, prefix + "x")


@every(PYTHON)
def test_nobody_writes_a_request_code_by_hand(path: Path) -> None:
    """What is compared or sent says its name."""
    found = BY_HAND.search(text(path))
    assert path.name == GENERATED.name or not found, f"{path}: {found.group(0) if found else ''}"

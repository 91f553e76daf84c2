"""Every command that a page shows is one that `qianwan` takes, with these options and values."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from program.cli.commands import program_of
from tests.support.tree import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "sdk").rglob("README.md")],
    key=lambda path: str(path),
)
SHOWN = re.compile(r"`(?:[\w./-]*/)?qianwan ([^`]+)`|^(?:\S*/)?qianwan ([^#\n]+)", re.MULTILINE)
PLACEHOLDERS = re.compile(r"\.\.\.|[|<\[]|\bNAME\b|\{\{")


def shown() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for found in SHOWN.finditer(page.read_text()):
            words = " ".join((found[1] or found[2]).split())
            if not PLACEHOLDERS.search(words):
                yield f"{page.relative_to(ROOT)}: {words}", words


COMMANDS = dict(shown())


@pytest.fixture(scope="module")
def program() -> TyperGroup:
    found = get_command(program_of())
    assert isinstance(found, TyperGroup)
    return found


def parse(group: TyperGroup, words: list[str]) -> None:
    """Parse as a shell's words would be, and run nothing."""
    with group.make_context("qianwan", list(words)) as context:
        rest = [*context._protected_args, *context.args]
        while rest:
            name, command, rest = group.resolve_command(context, rest)
            assert command is not None
            context = command.make_context(name, rest, parent=context)
            if not isinstance(command, TyperGroup):
                return
            group, rest = command, [*context._protected_args, *context.args]


@pytest.mark.parametrize("place", COMMANDS, ids=str)
def test_a_shown_command_is_taken(place: str, program: TyperGroup) -> None:
    with contextlib.suppress(typer.Exit):  # --help and --version
        parse(program, shlex.split(COMMANDS[place]))


@pytest.mark.parametrize("words", ["bench fanout --nope 3", "bench nothing", "keys lost"])
def test_what_is_not_taken_is_noticed(words: str, program: TyperGroup) -> None:
    with pytest.raises(Exception, match="No such"):
        parse(program, words.split())


def test_commands_were_found() -> None:
    assert len(COMMANDS) > 40

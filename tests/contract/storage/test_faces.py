"""One face per noun: each call is told once, with its guarantee, and somebody makes it."""

import re
from pathlib import Path

import pytest

from im_service.storage.engine import Engine
from im_service.storage.postgres import PostgresStore
from im_service.storage.sqlite import SqliteStore
from im_service.storage.store import Store

ROOT = Path(__file__).parents[3]
LIFE = {"start", "stop", "look", "pinned"}
FACES = [face for face in Store.__mro__[1:] if issubclass(face, Engine) and face is not Engine]
CALLS = {name: face for face in FACES for name in vars(face) if not name.startswith("_")}


def test_no_two_faces_have_the_same_call() -> None:
    assert len(FACES) == 16
    assert len(CALLS) == sum(not name.startswith("_") for face in FACES for name in vars(face))


@pytest.mark.parametrize("engine", [SqliteStore, PostgresStore])
def test_an_engine_tells_no_call_a_second_time(engine: type[Store]) -> None:
    assert {name for name in vars(engine) if not name.startswith("_")} == LIFE
    assert {name for name in vars(Store) if not name.startswith("_")} == LIFE


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_says_what_it_guarantees_and_is_made(name: str) -> None:
    assert vars(CALLS[name])[name].__doc__
    callers = [path for room in ("im_service", "control", "program") for path in (ROOT / room).rglob("*.py")]
    made = re.compile(rf"\b_?store\.{name}\b")
    assert any(made.search(path.read_text("utf-8")) for path in callers), f"nobody calls {name}"

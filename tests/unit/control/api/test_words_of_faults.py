"""Whoever writes something wrong is told what would be right, in words and not in patterns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct, inspect

from control.api.admin.table import ROUTES
from control.api.app import create_app
from control.outbox.endpoints import Endpoint
from control.settings.build import SettingsError, build
from control.settings.keys import types
from frame.constants import ID_PATTERN
from im_service.faults import OTHER, WORDS, bare, meaning, told
from im_service.methods import METHODS
from im_service.moderation.lists import WordList
from im_service.options import Options
from im_service.sending.bodies import BODIES
from tests.support.admin_app import make_services

Color = Literal["red", "blue"]


class Shape(Struct):
    one: Color | None = None
    many: list[Color] = []
    keys: dict[Color, int] = {}
    values: dict[str, Color | int] = {}
    name: Annotated[str, Meta(pattern=f"^({ID_PATTERN})?$")] = ""
    under: list[Shape] = []


@pytest.mark.parametrize(
    "given",
    [
        {"one": "green"},
        {"many": ["red", "green"]},
        {"keys": {"green": 1}},
        {"values": {"a": "green"}},
        {"under": [{}, {"one": "green"}]},
    ],
)
def test_a_word_that_is_none_of_a_list_names_the_list(given: Mapping[str, Any]) -> None:
    assert "'green', not `blue` or `red`" in fault(given, Shape)


def test_a_pattern_is_told_in_words_and_where() -> None:
    assert fault({"under": [{"name": "' - at `$`"}]}, Shape) == (
        "Expected nothing, or an id: 1 to 64 of A-Z a-z 0-9 _ . @ - - at `$.under[0].name`"
    )
    assert fault({"name": 1}, Shape) == "Expected `str`, got `int` - at `$.name`"
    assert fault("green", Color) == "Invalid enum value 'green', not `blue` or `red`"


def fault(given: object, kind: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(given, kind)
    return told(error.value, kind)


def patterns(kind: inspect.Type, seen: set[type]) -> Iterator[str]:
    """Of every text in a shape."""
    match kind:
        case inspect.StrType(pattern=str(pattern)):
            yield pattern
        case inspect.Metadata(type=inner):
            yield from patterns(inner, seen)
        case inspect.UnionType(types=several) | inspect.TupleType(item_types=several):
            for each in several:
                yield from patterns(each, seen)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            yield from patterns(kind.item_type, seen)
        case inspect.DictType(key_type=key, value_type=value):
            yield from patterns(key, seen)
            yield from patterns(value, seen)
        case inspect.StructType() if kind.cls not in seen:
            seen.add(kind.cls)
            for field in kind.fields:
                yield from patterns(field.type, seen)


def test_every_pattern_that_is_read_has_words() -> None:
    shapes = [method.args for method in METHODS.values()] + [route.takes for route in ROUTES]
    shapes += [WordList, Options, Endpoint, *BODIES.values(), *types().values()]
    seen: set[type] = set()
    found = {each for shape in shapes for each in patterns(inspect.type_info(shape), seen)}
    found |= {pattern for route in ROUTES for pattern in (route.patterns or {}).values()}
    assert len(found) > 12
    assert {each: meaning(each) for each in found if OTHER in meaning(each)} == {}
    assert all(bare(each)[0] in WORDS for each in found)


def test_no_schema_of_a_document_has_a_pattern_without_words(tmp_path: Path) -> None:
    """Parameters that FastAPI reads by itself, too."""

    def walk(part: object) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("pattern"), str):
                yield part["pattern"]
            for below in part.values():
                yield from walk(below)
        elif isinstance(part, list):
            for below in part:
                yield from walk(below)

    told_of = set(walk(create_app(make_services(tmp_path)).openapi()))
    assert {each for each in told_of if bare(each)[0] not in WORDS} == set()


def test_settings_say_what_is_allowed() -> None:
    with pytest.raises(SettingsError) as error:
        build({"callbacks": {"single": "maybe"}, "bus": {"prefix": "a b"}})
    assert error.value.lines == [
        "callbacks.single: Invalid enum value 'maybe', not `closed`, `off` or `open`",
        "bus.prefix: Expected 1 to 32 of A-Z a-z 0-9 _ -",
    ]

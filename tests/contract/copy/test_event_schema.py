"""The schema of events knows exactly the kinds that are told, and says what is in each."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

from control.outbox.sink import encoded, media_of, shown
from im_service.outbox.kinds.catalogue import ID, KINDS, Json, document
from im_service.outbox.ports import Event
from tests.support.every_event import endpoint_events, logged_events
from tests.support.tree import ROOT

EXAMPLES: list[Json] = json.loads((ROOT / "docs/events.examples.json").read_text())


def strict(shape: Any) -> Any:
    """The same, but nothing passes that it does not name."""
    if isinstance(shape, list):
        return [strict(each) for each in shape]
    if not isinstance(shape, dict):
        return shape
    made = {name: strict(value) for name, value in shape.items()}
    if "properties" in shape and shape.get("type") == "object":
        made.setdefault("unevaluatedProperties", False)
    return made


SCHEMA = document()


def only(name: str, schema: Json) -> Draft202012Validator:
    """The schema as it is for events of this kind: the others ask for nothing."""
    asked = [each for each in schema["allOf"] if each["if"]["properties"]["kind"]["const"] == name]
    return Draft202012Validator({**schema, "allOf": asked})


_strict = strict(SCHEMA)
OPENED = {name: only(name, SCHEMA) for name in KINDS}
CLOSED = {name: only(name, _strict) for name in KINDS}
REGISTRY = Registry().with_resource(SCHEMA["$id"], Resource.from_contents(SCHEMA))
CLOUD = Draft202012Validator({"$ref": f"{ID}#cloudevent"}, registry=REGISTRY)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    logged = asyncio.run(logged_events(tmp_path_factory.mktemp("logged")))
    return [*logged, *asyncio.run(endpoint_events(tmp_path_factory.mktemp("endpoint")))]


def test_every_kind_is_told_and_every_kind_that_is_told_is_known(told: list[Event]) -> None:
    assert {event.kind for event in told} == set(KINDS)
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["$defs"]) == {*KINDS, "cloudevent"}


def test_what_is_told_is_what_the_schema_says_and_nothing_besides(told: list[Event]) -> None:
    for event in told:
        CLOSED[event.kind].validate(json.loads(json.dumps(shown(event))))


def test_the_examples_of_the_docs_are_such_events(told: list[Event]) -> None:
    assert [example["kind"] for example in EXAMPLES] == list(KINDS)
    real = {(event.kind, form(shown(event))) for event in told}
    for example in EXAMPLES:
        CLOSED[example["kind"]].validate(example)
        assert (example["kind"], form(example)) in real, f"nothing like {example} was told"


def form(value: object) -> str:
    """Names and types of all that is in it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{form(value[name])}" for name in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(sorted({form(each) for each in value})) + "]"
    return type(value).__name__


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_refuses_what_it_is_not(name: str) -> None:
    """A definition that takes everything would prove nothing."""
    example = next(each for each in EXAMPLES if each["kind"] == name)
    required = _required(SCHEMA["$defs"][name])
    opened = OPENED[name]
    opened.validate({**example, "later": 1, "data": {**example["data"], "later": 1}})
    for member in required:
        without = copy.deepcopy(example)
        del without["data"][member]
        with pytest.raises(ValidationError):
            opened.validate(without)
    with pytest.raises(ValidationError):
        opened.validate({**example, "data": []})
    assert required or not example["data"]


def _required(shape: Json) -> list[str]:
    shapes = shape.get("anyOf", [shape])
    return [name for name in shapes[0].get("required", []) if all(name in s["required"] for s in shapes)]


def test_the_whole_schema_takes_events_by_their_kind() -> None:
    whole = Draft202012Validator(SCHEMA)
    example = next(each for each in EXAMPLES if each["kind"] == "room.mute")
    whole.validate(example)
    whole.validate({**example, "kind": "later.kind", "data": {"whatever": 1}})
    assert [each["if"]["properties"]["kind"]["const"] for each in SCHEMA["allOf"]] == list(KINDS)
    with pytest.raises(ValidationError):
        whole.validate({**example, "kind": "room.black"})


def test_the_schema_in_the_docs_is_the_one_that_is_served() -> None:
    assert json.loads((ROOT / "docs/events.schema.json").read_text()) == SCHEMA


@pytest.mark.parametrize("name", KINDS)
def test_as_a_cloud_event_each_is_read_by_another_library_and_names_its_schema(name: str) -> None:
    example = next(each for each in EXAMPLES if each["kind"] == name)
    event = Event(*(example.get(field) for field in Event._fields))
    sent = encoded(event, "cloudevents")
    read = from_http_event(HTTPMessage({"content-type": media_of("cloudevents")}, sent))
    assert (read.get_id(), read.get_type(), read.get_subject()) == (event.event_id, name, event.subject)
    assert (read.get_source(), read.get_specversion()) == ("/qianwan", "1.0")
    assert (read.get_data(), read.get_datacontenttype()) == (event.data, "application/json")
    assert round(read.get_time().timestamp() * 1000) == event.time_ms
    CLOUD.validate(json.loads(sent))
    named = Draft202012Validator({"$ref": read.get_dataschema()}, registry=REGISTRY)
    named.validate(event.data)
    with pytest.raises(ValidationError):
        named.validate("no data of a kind")

"""All kinds of events, in one list, and the JSON Schema of it (draft 2020-12).

The schema describes one event as pull and webhooks give it: its root what all events have, and by `kind` what
is in `data`; `$defs` has one definition for each kind, under an anchor of its name, and `cloudevent`, which
is the same for the envelope of CloudEvents. It says what there is and forbids nothing more: within a version
members and kinds are added, never taken away or changed (docs/EVENTS.md).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from im_service.outbox.kinds import copy, logged, people, rooms
from im_service.settings import Recorded

VERSION = 1
ID = f"urn:qianwan:events:{VERSION}"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/"

Json = dict[str, Any]


class EventKind(NamedTuple):
    """`record`: what im.service.copy.record must name, None: it is always there. `data`: of one of these
    shapes; `notice`: what lies in their member of this name."""

    name: str
    text: str
    subject: str
    record: Recorded | None
    data: tuple[type[Struct], ...]
    notice: type[Struct] | None = None


def _message(name: str, text: str, subject: str, shape: type[Struct]) -> EventKind:
    return EventKind(name, text, subject, None, (shape, logged.Erased))


def _text(shape: type[Struct]) -> str:
    return " ".join((shape.__doc__ or "").split())


KINDS: dict[str, EventKind] = {
    kind.name: kind
    for kind in (
        _message("message.single", "A message to one user.", "s/<a>:<b>", logged.SingleMessage),
        _message("message.group", "A message to a group.", "g/<group>", logged.MessageTold),
        _message("message.room", "A message to a chatroom.", "r/<room>", logged.MessageTold),
        *(
            EventKind(notice.KIND, _text(notice), notice.SUBJECT, None, (logged.Noticed,), notice)
            for notice in logged.NOTICES
        ),
        *(
            EventKind(change.KIND, _text(change), change.SUBJECT, change.RECORD, (change,))
            for change in (*people.KINDS, *rooms.KINDS, *copy.KINDS)
        ),
    )
}
"""By name."""


def data_uri(kind: str) -> str:
    """The schema of this kind's `data`."""
    return f"{ID}#{kind}"


def document() -> Json:
    """The schema."""
    shapes = {shape for kind in KINDS.values() for shape in (*kind.data, *filter(None, [kind.notice]))}
    named = sorted(shapes, key=lambda shape: shape.__name__)
    _, found = msgspec.json.schema_components(named, schema_hook=_anything, ref_template=_REF + "{name}")
    definitions = {name: _definition(kind, found) for name, kind in KINDS.items()}
    return {
        "$schema": DIALECT,
        "$id": ID,
        "title": "An event of the durable copy",
        "version": VERSION,
        **_envelope("kind", "data"),
        "$defs": {**definitions, "cloudevent": {"$anchor": "cloudevent", **_cloud()}},
    }


def _anything(kind: type) -> Json:
    if kind is not object:
        raise NotImplementedError(kind)
    return {"description": "what JSON can say"}


def _definition(kind: EventKind, found: Json) -> Json:
    shapes = [_whole({"$ref": _REF + shape.__name__}, found) for shape in kind.data]
    for shape in shapes:
        shape.pop("description", None)
    if kind.notice is not None:
        notice = _whole({"$ref": _REF + kind.notice.__name__}, found)
        shapes[0]["properties"]["notice"] = {**notice, "description": "what the service says"}
        shapes[0]["required"].append("notice")
    head = {"$anchor": kind.name, "title": kind.name, "description": kind.text}
    return {**head, **(shapes[0] if len(shapes) == 1 else {"anyOf": shapes})}


def _whole(shape: Json, found: Json) -> Json:
    """The shape with what it refers to in its place."""
    if "$ref" in shape:
        named = _whole(found[shape["$ref"].removeprefix(_REF)], found)
        named.pop("title")  # names of ours
        return named | {name: value for name, value in shape.items() if name != "$ref"}
    made: Json = {}
    for name, value in shape.items():
        if isinstance(value, dict):
            made[name] = _whole(value, found)
        elif isinstance(value, list):
            made[name] = [_whole(each, found) if isinstance(each, dict) else each for each in value]
        else:
            made[name] = value
    return made


def _envelope(kind: str, data: str) -> Json:
    return {
        "type": "object",
        "properties": {
            "event_id": {"type": "string", "description": "the same however often it comes"},
            kind: {"type": "string", "pattern": r"^[a-z_]+(\.[a-z_]+)+$"},
            "time_ms": {"type": "integer", "description": "unix time in milliseconds"},
            "subject": {"type": "string", "description": "events of one subject come in their order"},
            "env": {"type": ["string", "null"], "description": "the sender's option; absent or null: none"},
            data: {"type": "object"},
            "cursor": {"type": "string", "description": "the place behind this event"},
        },
        "required": ["event_id", kind, "time_ms", "subject", data, "cursor"],
        "allOf": _by_kind(kind, data),
    }


def _cloud() -> Json:
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "description": "event_id"},
            "source": {**text, "format": "uri-reference"},
            "type": {**text, "description": "kind"},
            "time": {**text, "format": "date-time"},
            "subject": text,
            "datacontenttype": {"const": "application/json"},
            "dataschema": {**text, "format": "uri"},
            "qwcursor": {"type": "string", "description": "cursor"},
            "qwenv": {"type": "string", "description": "env"},
            "data": {"type": "object"},
        },
        "required": [
            "specversion",
            "id",
            "source",
            "type",
            "time",
            "subject",
            "datacontenttype",
            "dataschema",
            "data",
        ],
        "allOf": _by_kind("type", "data"),
    }


def _by_kind(kind: str, data: str) -> list[Json]:
    return [
        {
            "if": {"properties": {kind: {"const": name}}, "required": [kind]},
            "then": {"properties": {data: {"$ref": f"#{name}"}}},
        }
        for name in KINDS
    ]

"""How HTTP says an answer: every member by its name, where the wire has arrays; `server_id` also as text.

JavaScript reads numbers above 2^53 wrong, so beside each `server_id` stands `server_id_str`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct, inspect

from im_service.calls import Method
from im_service.models import Message

BIG, AS_TEXT = "server_id", "server_id_str"
_TEXT = {"type": "string", "pattern": "^[0-9]+$"}

Json: TypeAlias = dict[str, Any]
"""A part of the document, or of an answer."""
Say: TypeAlias = Callable[[object], object]


def encoder(method: Method) -> Callable[[object], bytes]:
    """What turns a result of the method into JSON."""
    say = _say(inspect.type_info(method.answer)) if method.answer else None

    def encode(result: object) -> bytes:
        # Parts of a result may be msgpack already (msgspec.Raw): through msgpack and back.
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(result))
        return msgspec.json.encode({} if plain is None else say(plain) if say else plain)

    return encode


def schemas(answers: list[type[Struct]], template: str) -> Json:
    """The JSON schemas of these answers, as `encoder` says them. `template`: of references."""
    kinds: list[type[Struct]] = [*answers, Message]
    _, found = msgspec.json.schema_components(kinds, ref_template=template)
    for kind in _structs(kinds):
        shape = found.get(kind.cls.__name__)
        if shape is not None:
            _name_members(shape, kind, template)
    return found


def _name_members(shape: Json, kind: inspect.StructType | inspect.NamedTupleType, template: str) -> None:
    if "prefixItems" in shape:
        names = [field.encode_name for field in kind.fields]
        members = dict(zip(names, shape.pop("prefixItems"), strict=True))
        for gone in ("minItems", "maxItems", "items"):
            shape.pop(gone, None)
        required = [field.encode_name for field in kind.fields if field.required]
        shape.update(type="object", properties=members, required=required)
    members = shape["properties"]
    if BIG in members:
        members[AS_TEXT] = _TEXT
        if BIG in shape.get("required", ()):
            shape["required"] = [*shape["required"], AS_TEXT]
    for name, member in members.items():
        members[name] = _messages(member, template)


def _messages(shape: Json, template: str) -> Json:
    """References in the place of messages that are bytes to the service."""
    if shape.get("title") == "Message" and "type" not in shape:
        return {"$ref": template.format(name="Message")}
    if "items" in shape and isinstance(shape["items"], dict):
        return {**shape, "items": _messages(shape["items"], template)}
    if "anyOf" in shape:
        return {**shape, "anyOf": [_messages(one, template) for one in shape["anyOf"]]}
    return shape


def _structs(kinds: list[type[Struct]]) -> list[inspect.StructType | inspect.NamedTupleType]:
    """All named shapes in these types."""
    found: dict[type, inspect.StructType | inspect.NamedTupleType] = {}
    waiting = list(inspect.multi_type_info(kinds))
    while waiting:
        kind = waiting.pop()
        match kind:
            case inspect.StructType() | inspect.NamedTupleType():
                if kind.cls not in found:
                    found[kind.cls] = kind
                    waiting += [field.type for field in kind.fields]
            case inspect.ListType(item_type=inner) | inspect.Metadata(type=inner):
                waiting.append(inner)
            case inspect.DictType(value_type=inner):
                waiting.append(inner)
            case inspect.UnionType(types=types):
                waiting += types
    return list(found.values())


def _say(kind: inspect.Type) -> Say | None:
    """What names the members of a value of this type; None where there is nothing to name."""
    match kind:
        case inspect.StructType(fields=fields) | inspect.NamedTupleType(fields=fields):
            return _say_members(fields)
        case inspect.ListType(item_type=item):
            return _of_each(_say(item))
        case inspect.DictType(value_type=item):
            return _of_values(_say(item))
        case inspect.UnionType(types=options):
            found = [known for option in options if (known := _say(option))]
            return _or_nothing(found[0]) if found else None
        case inspect.Metadata(extra_json_schema={"title": "Message"}):
            return _say(inspect.type_info(Message))
        case inspect.Metadata(type=inner_type):
            return _say(inner_type)
    return None


def _of_each(say: Say | None) -> Say | None:
    if say is None:
        return None
    return lambda value: [say(each) for each in value] if isinstance(value, list) else value


def _of_values(say: Say | None) -> Say | None:
    if say is None:
        return None
    return lambda value: {k: say(v) for k, v in value.items()} if isinstance(value, dict) else value


def _or_nothing(say: Say) -> Say:
    return lambda value: None if value is None else say(value)


def _say_members(fields: tuple[inspect.Field, ...]) -> Say:
    names = [field.encode_name for field in fields]
    inner = {field.encode_name: known for field in fields if (known := _say(field.type))}

    def say(value: object) -> object:
        if isinstance(value, dict):
            members = dict(value)
        elif isinstance(value, list):
            members = dict(zip(names, value, strict=False))
        else:
            return value
        for name in inner.keys() & members.keys():
            members[name] = inner[name](members[name])
        if BIG in members:
            members[AS_TEXT] = str(members[BIG])
        return members

    return say

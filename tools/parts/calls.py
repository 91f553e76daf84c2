"""The table of calls in docs/MESSAGES.md."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path
from typing import cast

from msgspec import Struct, inspect

from im_service.calls import Args
from im_service.methods import METHODS
from tools.parts.made import Made, markdown

FAR = 1 << 53
"""Whole numbers of other languages end there."""


def calls_table() -> str:
    heads = ["method", "arguments", "result", "refuses with", "what"]
    rows = [
        (
            f"`{method.name}`" + (" *server*" if method.server_only else ""),
            _arguments(method.args),
            f"`{method.result}`",
            ", ".join(str(int(code)) for code in method.errors),
            method.doc,
        )
        for method in METHODS.values()
    ]
    return markdown(heads, rows)


def _arguments(args: type[Args]) -> str:
    return ", ".join(arguments(args)) or "none"


def arguments(args: type[Struct], without: Container[str] = ()) -> list[str]:
    """Names, types and bounds; optional ones with a question mark, and defaults that say something."""
    fields = cast(inspect.StructType, inspect.type_info(args)).fields
    return [
        f"`{field.encode_name}{'' if field.required else '?'}` {shown(field.type)}{_default(field)}"
        for field in sorted(fields, key=lambda field: not field.required)
        if field.encode_name not in without
    ]


def _default(field: inspect.Field) -> str:
    value = field.default
    return f" = `{json.dumps(value)}`" if isinstance(value, (int, str)) and value else ""


def shown(kind: inspect.Type) -> str:
    """A type and its bounds: characters of a text, elements of a list or map, the range of a number."""
    match kind:
        case inspect.UnionType(types=types):
            named = [each for each in types if not isinstance(each, inspect.NoneType)]
            return " or ".join(dict.fromkeys(map(shown, named)))
        case inspect.LiteralType(values=values):
            return " or ".join(f"`{value}`" for value in values)
        case inspect.StrType(min_length=least, max_length=most):
            return "str" + _range(least, most)
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            return f"list[{shown(item)}]" + _range(least, most)
        case inspect.DictType(key_type=key, value_type=value, min_length=least, max_length=most):
            return f"dict[{shown(key)}, {shown(value)}]" + _range(least, most)
        case inspect.IntType(ge=least, le=most) | inspect.FloatType(ge=least, le=most):
            return type(kind).__name__.removesuffix("Type").lower() + _range(least, most)
        case inspect.StructType(cls=cls):
            return cls.__name__
        case inspect.Metadata(type=inner):
            return shown(inner)
        case inspect.RawType():
            return "any"
    return type(kind).__name__.removesuffix("Type").lower()


def _range(least: float | None, most: float | None) -> str:
    """What lies beyond the 2^53 of other languages bounds nobody, and neither does a least of 0."""
    low = f"{least:g}" if least and least > -FAR else ""
    if most is None or most > FAR:
        return f" {low}.." if low else ""
    return f" {low or '0' * (least is not None)}..{most:,}"


def make(root: Path) -> Made:
    return Made({}, {"docs/MESSAGES.md": {"calls": calls_table()}})

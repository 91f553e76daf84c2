"""Whole numbers in a query or a path are digits: a decoder of texts takes 1e3 and 1.0, too."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import inspect

DIGITS = re.compile(r"-?[0-9]{1,20}")


def members_of(shape: type, kind: type[inspect.Type]) -> frozenset[str]:
    """Members of a struct that may hold this type."""
    struct = inspect.type_info(shape)
    assert isinstance(struct, inspect.StructType)
    return frozenset(
        field.encode_name
        for field in struct.fields
        if any(isinstance(option, kind) for option in _options(field.type))
    )


def not_whole(given: Mapping[str, object], integers: frozenset[str]) -> str:
    """What is wrong with the first of these members that is no whole number, or nothing."""
    for name in integers & given.keys():
        text = given[name]
        if isinstance(text, str) and not DIGITS.fullmatch(text):
            return f"{name}: must be a whole number, in digits"
    return ""


def _options(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)

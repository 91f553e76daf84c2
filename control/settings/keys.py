"""What keys there are: the tree of settings as a list, each key with all that is known of it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from control.settings.model import Settings

UNITS = {
    "_per_s": "per second",
    "_bytes": "bytes",
    "_ms": "milliseconds",
    "_us": "microseconds",
    "_s": "seconds",
}
NEAR, FAR = 0.6, 0.8  # how alike a name must be to be meant, among its neighbours and elsewhere
ELSEWHERE = 0.01  # so much less likely, where both are as alike


class Key(NamedTuple):
    """One setting. `bounds` as people write them, "" when the type says all; `beyond` "" when nothing is."""

    name: str  # dotted
    type: Any
    default: Any
    unit: str
    bounds: str
    reason: str
    beyond: str
    live: bool = False  # may be changed while processes run (control/settings/live.py)


@cache
def types() -> dict[str, Any]:
    """Dotted key -> type of every setting: what checking needs, without its page."""
    return dict(_types(Settings(), ""))


@cache
def tables() -> frozenset[str]:
    """Every table of settings, dotted."""
    parts = (name.split(".") for name in types())
    return frozenset(".".join(path[:n]) for path in parts for n in range(1, len(path)))


@cache
def all_keys() -> tuple[Key, ...]:
    """Every setting there is, in the order of the file."""
    return tuple(_keys(Settings(), "", ""))


def walk(group: Struct, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a settings tree as (dotted key, value); secrets stay masked."""
    for name in group.__struct_fields__:
        value = getattr(group, name)
        if isinstance(value, Struct):
            yield from walk(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nearest(name: str) -> str:
    """The dotted setting that somebody meant who wrote `name`, or ""."""
    parent, _, last = name.rpartition(".")
    matcher = SequenceMatcher(None, "", last)
    best, found = 0.0, ""
    for candidate in (*types(), *sorted(tables())):
        table, _, end = candidate.rpartition(".")
        matcher.set_seq1(end)
        least = NEAR if table == parent else FAR
        if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
            continue
        alike = matcher.ratio() - (0.0 if table == parent else ELSEWHERE)
        if alike >= least - ELSEWHERE and alike > best:
            best, found = alike, candidate
    return found


def _types(group: Struct, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(group):
        value = getattr(group, field.name)
        if isinstance(value, Struct):
            yield from _types(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.type


def _keys(group: Struct, prefix: str, about: str) -> Iterator[Key]:
    pages = _pages(type(group))
    for field in msgspec.structs.fields(group):
        value = getattr(group, field.name)
        page = " ".join(part for part in (about, pages.get(field.name, "")) if part)
        if isinstance(value, Struct):
            yield from _keys(value, f"{prefix}{field.name}.", page)
            continue
        reason, _, beyond = page.partition(" Beyond: ")
        meta = _meta(field.type)
        yield Key(
            prefix + field.name,
            field.type,
            value,
            str(meta["extra"].get("unit") or _unit(field.name, field.type)),
            _bounds(meta),
            reason,
            beyond,
            bool(meta["extra"].get("live")),
        )


@cache
def _pages(kind: type[Struct]) -> dict[str, str]:
    """Field -> the text that stands under it, of the class and those it comes from."""
    pages: dict[str, str] = {}
    for cls in reversed(kind.__mro__[:-1]):
        if not issubclass(cls, Struct) or cls is Struct:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(page))):
                    pages[name] = " ".join(page.split())
    return pages


def _meta(kind: Any) -> dict[str, Any]:
    """What the annotations of a type say together."""
    found: dict[str, Any] = {"extra": {}}
    for meta in get_args(kind)[1:] if hasattr(kind, "__metadata__") else ():
        if isinstance(meta, Meta):
            said = {name: getattr(meta, name) for name in ("gt", "ge", "lt", "le", "max_length")}
            found |= {name: value for name, value in said.items() if value is not None}
            found["extra"] |= meta.extra or {}
    return found


def _unit(name: str, kind: Any) -> str:
    plain = get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
    if plain in (int, float):
        return next((text for end, text in UNITS.items() if f"_{name}".endswith(end)), "")
    if get_origin(plain) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(plain))
    return {bool: "true or false", str: "text"}.get(plain, "list" if get_origin(plain) else "text")


def _bounds(meta: dict[str, Any]) -> str:
    if "max_length" in meta:
        return f"at most {meta['max_length']} characters"
    low = f"{meta['ge']:,}" if "ge" in meta else f"above {meta['gt']:,}" if "gt" in meta else ""
    return f"{low} to {meta['le']:,}" if "le" in meta else ""

"""A tree of values -> Settings, or everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from control.settings.keys import nearest, tables
from control.settings.model import Settings
from im_service.faults import told

Group = TypeVar("Group", bound=Struct)


class SettingsError(Exception):
    """Settings that cannot be used; `lines` says which key, where it came from and why, one problem a
    line.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def build(tree: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> Settings:
    """Settings of nested values. `sources`: dotted key -> where it comes from. Raises SettingsError."""
    settings, problems = checked(tree, sources or {})
    if problems:
        raise SettingsError(problems)
    return settings


def checked(tree: Mapping[str, Any], sources: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Settings (the defaults where a value is bad) and every problem."""
    check = _Check(sources)
    return check.group(Settings(), tree, ""), check.problems


def laid_over(base: Settings, tree: Mapping[str, object]) -> Settings:
    """Settings with nested values in the place of some. Raises SettingsError."""
    check = _Check({})
    settings = check.group(base, tree, "")
    if check.problems:
        raise SettingsError(check.problems)
    return settings


def unknown(key: str) -> str:
    """Why a key is refused that nobody knows."""
    if key in tables():
        return "a table of settings: name one of them"
    meant = nearest(key)
    return "unknown key" + (f", did you mean {meant}?" if meant else "")


class _Check:
    def __init__(self, sources: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self._sources = sources
        self._bad: set[str] = set()

    def group(self, default: Group, given: object, prefix: str) -> Group:
        """A table of settings: what is given over its defaults."""
        if not isinstance(given, Mapping):
            self._wrong(prefix.rstrip("."), "expected a table of settings")
            return default
        types = {field.name: field.type for field in msgspec.structs.fields(default)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            key = f"{prefix}{name}"
            if name not in types:
                self._wrong(key, unknown(key))
            elif isinstance(before := getattr(default, name), Struct):
                values[name] = self.group(before, value, f"{key}.")
            else:
                try:
                    values[name] = convert(value, types[name])
                except ValueError as error:
                    self._wrong(key, str(error))
        made = msgspec.structs.replace(default, **values)
        self._hang_together(made, prefix)
        return self._good_of(made, default, prefix)

    def _hang_together(self, made: Struct, prefix: str) -> None:
        problems = getattr(made, "problems", None)
        for keys, reason in problems() if problems is not None else ():
            if not any(prefix + key in self._bad for key in keys):
                self._wrong(prefix + keys[0], reason)

    def _good_of(self, made: Group, default: Group, prefix: str) -> Group:
        """The defaults in the place of what is wrong: whatever looks at several tables can read each."""
        bad = [name for name in made.__struct_fields__ if f"{prefix}{name}" in self._bad]
        return msgspec.structs.replace(made, **{name: getattr(default, name) for name in bad})

    def _wrong(self, key: str, reason: str) -> None:
        self._bad.add(key)
        source = self._sources.get(key, "")
        self.problems.append(f"{key}: {reason}" + (f" (from {source})" if source else ""))


def convert(value: object, kind: Any) -> Any:
    """A value of a file as its type wants it, and nothing that merely looks like it. Raises ValueError."""
    try:
        return msgspec.convert(value, kind, dec_hook=_hook)
    except msgspec.ValidationError as error:
        raise ValueError(told(error, kind)) from None


def _hook(kind: type[Any], value: object) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    return kind(value)

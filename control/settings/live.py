"""Settings that operators change while processes run: those marked `live` in the tree, laid over what a
process was started with, and checked as at a start.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from control.settings.build import SettingsError, laid_over, unknown
from control.settings.keys import all_keys, types, walk
from control.settings.model import Settings

DOCUMENT = "settings/live"
HISTORY = 50
Values = dict[str, bool | int | float | str]
"""Dotted key -> value."""


class Version(msgspec.Struct, kw_only=True):
    """Values that held until they were replaced: since when, and who had set them."""

    at: str
    who: str
    name: str
    values: Values


class LiveDocument(msgspec.Struct, kw_only=True):
    """The document `settings/live`. `history`: earlier versions, the latest last."""

    at: str
    who: str
    name: str
    values: Values
    history: list[Version] = []

    def replaced(self, by: Version) -> LiveDocument:
        """The document with these values, which remembers the ones before."""
        before = Version(at=self.at, who=self.who, name=self.name, values=self.values)
        history = [*self.history, before][-HISTORY:]
        return LiveDocument(at=by.at, who=by.who, name=by.name, values=by.values, history=history)


def live_keys() -> list[str]:
    return [key.name for key in all_keys() if key.live]


def overlaid(base: Settings, values: Mapping[str, object]) -> Settings:
    """The settings with these values. Raises SettingsError with all that is wrong."""
    known, wrong = set(live_keys()), []
    taken: dict[str, object] = {}
    for key, value in values.items():
        if key in known:
            taken[key] = value
        elif key in types():
            wrong.append(
                f"{key}: holds from a start to the end of a process; live are {', '.join(sorted(known))}"
            )
        else:
            wrong.append(f"{key}: {unknown(key)}")
    if wrong:
        raise SettingsError(wrong)
    typed, given = base.server, replace(base.server, node_id=0)
    if not base.etcd.endpoints:  # with etcd nobody types the number, and the check says so
        given = typed
    found = laid_over(replace(base, server=given), _nested(taken))
    return replace(found, server=replace(found.server, node_id=typed.node_id))


def usable(base: Settings, values: Mapping[str, object]) -> tuple[Settings, dict[str, str]]:
    """The settings with those of the values that go with what a process was started with, and why each of the
    others does not: its own may be what a new one is checked against.
    """
    try:
        return overlaid(base, values), {}
    except SettingsError:
        found, taken, left = base, dict[str, object](), dict(values)
    while left:
        refused: dict[str, str] = {}
        for key, value in sorted(left.items()):
            try:
                found = overlaid(base, {**taken, key: value})
                taken[key] = value
            except SettingsError as error:
                refused[key] = "; ".join(error.lines)
        if len(refused) == len(left):
            return found, refused
        left = {key: left[key] for key in refused}  # what came meanwhile may be what they need
    return found, {}


def _nested(values: Mapping[str, object]) -> dict[str, object]:
    """Dotted keys as tables in tables."""
    tables: dict[str, dict[str, object]] = {}
    plain: dict[str, object] = {}
    for key, value in values.items():
        table, dot, rest = key.partition(".")
        if dot:
            tables.setdefault(table, {})[rest] = value
        else:
            plain[key] = value
    return plain | {table: _nested(inner) for table, inner in tables.items()}


def effective(settings: Settings) -> Values:
    """What the live keys are in these settings."""
    live = set(live_keys())
    return {key: value for key, value in walk(settings) if key in live}

"""`QIANWAN_<SECTION>__<KEY>`: settings of the environment, and variables that only look like some."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from control.settings.build import convert, unknown
from control.settings.keys import tables, types
from control.settings.values import Secret, SecretUrl

PREFIX = "QIANWAN_"
CONFIG_ENV = "QIANWAN_CONFIG"
# Read by the build, the client commands and the tests: they are no settings of the server.
FOREIGN = frozenset(
    {CONFIG_ENV, "QIANWAN_BUILD", "QIANWAN_ROOMS", "QIANWAN_API_KEY", "QIANWAN_URL", "QIANWAN_ADMIN_URL"}
)
# Kubernetes tells every pod of a service named qianwan, or qianwan-anything, in variables of these names.
SERVICE_LINK = re.compile(
    r"QIANWAN(_[A-Z0-9]+)*?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR))"
)
SERVICE_ADDRESS = re.compile(r"QIANWAN(_[A-Z0-9]+)*?_PORT(_\d+_(TCP|UDP|SCTP))?")


def ignored(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables with our prefix that an orchestrator set: no settings, and no reason to stop."""
    return sorted(name for name, value in environment.items() if _is_service_link(name, value))


def _is_service_link(name: str, value: str) -> bool:
    if SERVICE_LINK.fullmatch(name):
        return True
    return bool(SERVICE_ADDRESS.fullmatch(name)) and re.match(r"(tcp|udp|sctp)://", value) is not None


def from_environment(
    environment: Mapping[str, str] = os.environ,
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """(nested values, dotted key -> its variable, what is wrong). A map as JSON gives a whole table; a
    variable of one key wins over it.
    """
    known = types()
    tree: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    mine = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    for variable in sorted(mine, key=lambda name: (name.count("__"), name)):
        if variable in FOREIGN or _is_service_link(variable, mine[variable]):
            continue
        key = variable.removeprefix(PREFIX).replace("__", ".").lower()
        if key not in known and key not in tables():
            problems.append(f"environment: {variable} is no setting: {_hint(key)}")
            continue
        try:
            value = _table(mine[variable]) if key in tables() else _parsed(mine[variable], known[key])
        except ValueError as error:
            problems.append(f"{key}: {error} (from {variable})")
            continue
        put(tree, key, value)
        sources |= dict.fromkeys(flat(value, key), variable)
    return tree, sources, problems


def _hint(key: str) -> str:
    if "." not in key:
        return "known ones look like QIANWAN_GATEWAY__LISTEN"
    reason = unknown(key)
    head, meant, name = reason.partition("did you mean ")
    return f"{head}{meant}QIANWAN_{name.replace('.', '__').upper()}" if meant else reason


def _table(text: str) -> dict[str, Any]:
    value = _json(text)
    if not isinstance(value, dict):
        raise ValueError("expected a map as JSON")
    return value


def _parsed(text: str, kind: Any) -> Any:
    """The value that a variable's text means for its key."""
    plain = get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
    if plain in (str, Path, Secret, SecretUrl) or get_origin(plain) is Literal:
        return convert(text, kind)
    if plain in (int, float, bool):
        return msgspec.convert(text, kind, strict=False)
    return convert(_json(text), kind)


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"lists and maps are written as JSON: {error}") from None


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of a nested map, over or into what is there."""
    *path, last = key.split(".")
    for name in path:
        tree = tree.setdefault(name, {})
    merge(tree, {last: value})


def merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Lay nested values over others."""
    for key, value in layer.items():
        if isinstance(value, Mapping):
            below = into[key] = into[key] if isinstance(into.get(key), dict) else {}
            merge(below, value)
        else:
            into[key] = value


def flat(value: object, prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted keys, tables included."""
    found: dict[str, Any] = {prefix: value} if prefix else {}
    if isinstance(value, Mapping):
        for name, inner in value.items():
            found |= flat(inner, f"{prefix}.{name}" if prefix else str(name))
    return found

"""No circle of imports anywhere, and inside a package imports run downwards only.

`ORDER` lists, from the bottom up, what stands on one level: folders or modules of the package, `__init__` for
the package itself. A module belongs to its longest match, and imports its own entry and lower levels.
"""

from __future__ import annotations

import pytest

from tests.support.import_graph import circles, graph, imports, read
from tests.support.tree import sources, text

ORDER: dict[str, list[str]] = {
    "gateway_core": [
        "config errors includes",
        "leaf",
        "net",
        "conn.states",
        "conn.table",
        "conn.announce conn.joining conn.user_filter",
        "conn.topics conn.users",
        "conn.pending",
        "types",
        "conn",
        "engine",
        "__init__",
    ],
    "im_service": [
        "__init__ errors faults ports push.settings push.texts rates turns",
        "ids settings",
        "grammar",
        "storage",
        "models",
        "options pages spread",
        "routing",
        "push.ports outbox engines.ports",
        "live notices",
        "calls",
        "sending.hooks",
        "context",
        "consent moderation",
        "chatrooms groups sending",
        "accounts callbacks engines",
        "conversation event_calls push",
        "reviews",
        "upkeep",
        "service",
        "methods",
    ],
    "control": [
        "__init__ errors logs node_ids part ticks",
        "health metrics outgoing.addresses outgoing.signing rates rendezvous request_keys",
        "settings",
        "audit bus outgoing routing",
        "coordination",
        "auth callbacks engines push",
        "keys streams",
        "downlink lbs policy",
        "gateway im",
        "outbox",
        "api",
        "process",
        "workers",
    ],
    "program": ["__init__ access dictionary doctor", "demo heartbeats", "cluster", "cli", "__main__"],
    "benchmarks": [
        "__init__ machine ports core_alone loadgen",
        "micro highest_rate servers",
        "figures",
        "peers record report table",
        "scenarios",
        "weaknet",
        "cli",
    ],
    "qianwan": [
        "constants",
        "errors",
        "models tasks tokens",
        "protocol",
        "transport",
        "connection",
        "api delivery light",
        "rooms steering",
        "engine",
        "client",
        "__init__",
    ],
}


def entry_of(module: str, order: list[str]) -> tuple[int, str]:
    """(level, entry) of a module; KeyError for one that has no place."""
    package, _, inner = module.partition(".")
    inner = inner or "__init__"
    places = {entry: level for level, line in enumerate(order) for entry in line.split()}
    found = [entry for entry in places if inner == entry or inner.startswith(entry + ".")]
    if not found:
        raise KeyError(f"{module} has no place in the order of {package}")
    entry = max(found, key=len)
    return places[entry], entry


def upward(module: str, targets: frozenset[str], order: list[str]) -> list[str]:
    """What a module imports from its own level or above."""
    package = module.partition(".")[0]
    level, entry = entry_of(module, order)
    found = []
    for target in sorted(targets):
        if target.partition(".")[0] == package:
            other, name = entry_of(target, order)
            if name != entry and other >= level:
                found.append(target)
    return found


def test_no_circle_of_imports() -> None:
    found = circles(graph())
    text = [f"{m} -> {', '.join(sorted(graph()[m] & set(circle)))}" for circle in found for m in circle]
    assert not found, "\n".join(["these import each other:", *text])


@pytest.mark.parametrize("package", ORDER)
def test_imports_inside_a_package_run_downwards(package: str) -> None:
    modules = sorted(m for m in graph() if m.partition(".")[0] == package)
    assert modules
    lines = [f"{m} -> {', '.join(up)}" for m in modules if (up := upward(m, graph()[m], ORDER[package]))]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("package", ORDER)
def test_every_place_in_the_order_is_taken_once(package: str) -> None:
    taken = {entry_of(m, ORDER[package])[1] for m in graph() if m.partition(".")[0] == package}
    places = [entry for line in ORDER[package] for entry in line.split()]
    assert sorted(taken) == sorted(places), "each once, and none for nobody"


def test_no_import_is_relative() -> None:
    """One name for one module, and `grep` finds it."""
    for path in sources():
        found = [m for m, _ in read(path).imports if m.startswith(".")]
        assert not found, f"{path}: {found}"


def test_no_folder_of_control_holds_more_than_a_fifth_of_it() -> None:
    lines: dict[str, int] = {}
    for path in sources("control"):
        folder = path.parts[1] if len(path.parts) > 2 else ""
        lines[folder] = lines.get(folder, 0) + len(text(path).splitlines())
    total = sum(lines.values())
    large = {folder: count for folder, count in lines.items() if count * 5 > total}
    assert not large, f"of {total} lines: {large}"


# -- the tests of the tests: each way to hide an import is seen


@pytest.mark.parametrize(
    "source",
    [
        "from control.keys import keystore",
        "from control.keys.keystore import KeyStore",
        "import control.keys.keystore as store",
        "if TYPE_CHECKING:\n    from control.keys.keystore import KeyStore",
        "def f():\n    from control.keys.keystore import KeyStore\n",
        "try:\n    import os, control.keys.keystore\nexcept ImportError: pass",
        "from control.keys import (\n    api_keys,\n    keystore as k,\n)",
    ],
)
def test_the_reader_sees_every_form(source: str) -> None:
    found = {origin if not name else f"{origin}.{name}" for origin, name in imports(source)}
    assert any(name.startswith("control.keys.keystore") for name in found)


@pytest.mark.parametrize(
    "source",
    [
        "from crypto.aead cimport seal, open_sealed",
        "cimport crypto.aead",
        "    cimport crypto.aead as aead",
        "from crypto cimport aead, noise",
        "from crypto cimport (\n    noise,\n    aead as a,\n)",
        "from crypto cimport noise, \\\n    aead\n",
        "import os, crypto.aead",
    ],
)
def test_the_reader_sees_every_form_of_cython(source: str) -> None:
    found = {origin if not name else f"{origin}.{name}" for origin, name in imports(source, cython=True)}
    assert any(name.startswith("crypto.aead") for name in found)


def test_a_circle_and_an_upward_import_are_found() -> None:
    knot = {"a": frozenset({"b"}), "b": frozenset({"c"}), "c": frozenset({"a", "d"}), "d": frozenset[str]()}
    assert circles(knot) == [["a", "b", "c"]]
    order = ["low", "middle other", "top"]
    assert upward("p.middle.x", frozenset({"p.top.y"}), order) == ["p.top.y"]
    assert upward("p.middle.x", frozenset({"p.other"}), order) == ["p.other"]
    assert upward("p.middle.x", frozenset({"p.low", "p.middle.z", "q.top"}), order) == []
    with pytest.raises(KeyError, match="no place"):
        upward("p.new", frozenset(), order)

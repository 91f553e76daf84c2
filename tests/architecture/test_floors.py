"""A floor imports only lower floors; packages on one floor never import each other (docs/ARCHITECTURE.md)."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.tree import every, sources, text

# importer -> the top-level packages of this repository it may import beside itself
ALLOWED: dict[str, set[str]] = {
    "cmodules": set(),
    "frame": {"cmodules"},
    "crypto": {"cmodules"},
    "gateway_core": {"cmodules", "frame", "crypto"},
    # The service speaks the wire's codes, whose constants are generated; it knows no byte layout.
    "im_service": {"frame.constants"},
    "control": {"cmodules", "frame", "crypto", "gateway_core", "im_service"},
    "benchmarks": {"cmodules", "frame", "crypto", "gateway_core", "im_service", "control"},
    # What a person runs stands above the server: it plays users with the SDK and brings the bench along.
    "program": {"frame", "crypto", "gateway_core", "im_service", "control", "benchmarks", "qianwan"},
    "tools": {
        "frame",
        "crypto",
        "gateway_core",
        "im_service",
        "control",
        "program",
        "benchmarks",
        "tests.support",
    },
    "sdk": set(),
}
# These measure the SDK itself.
GUESTS: dict[str, set[str]] = {
    "benchmarks/scenarios/catchup": {"qianwan"},
    "benchmarks/weaknet/ours": {"qianwan"},
}
OURS = {*ALLOWED, "qianwan", "tests"} - {"sdk"}
IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import\b"
    r"|c?import[ \t]+([\w., \t]+?)(?:[ \t]+as[ \t]+\w+)?[ \t]*(?:#.*)?$)",
    re.MULTILINE,
)


def imported(source: str) -> set[str]:
    """Dotted names that a Python or Cython source imports or cimports."""
    names: set[str] = set()
    for origin, plain in IMPORT.findall(source):
        found = [origin] if origin else [part.split(" as ")[0] for part in plain.split(",")]
        names |= {name.strip() for name in found if name.strip() and not name.startswith(".")}
    return names


def allowed_for(path: Path) -> set[str]:
    top = path.parts[0]
    allowed = ALLOWED[top] | {"qianwan" if top == "sdk" else top}
    for prefix, extra in GUESTS.items():
        if str(path).startswith(prefix):
            allowed |= extra
    return allowed


@every(sources(*ALLOWED))
def test_imports_only_lower_floors(path: Path) -> None:
    allowed = allowed_for(path)
    for name in imported(text(path)):
        if name.split(".")[0] not in OURS:
            continue
        assert any(name == lower or name.startswith(lower + ".") for lower in allowed), (
            f"{path} imports {name}: not a lower floor"
        )


def test_the_reader_of_imports_sees_every_form() -> None:
    source = (
        "import control\nfrom frame.varint cimport uv_put\n cimport crypto.aead as a\nimport os, im_service\n"
    )
    assert {"control", "frame.varint", "crypto.aead", "im_service"} <= imported(source)

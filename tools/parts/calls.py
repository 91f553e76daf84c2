"""The table of calls in docs/MESSAGES.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from im_service.calls import Args
from im_service.methods import METHODS
from tools.parts.made import Made, markdown


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
    """Names and types; optional ones with a question mark."""
    parts = []
    hints = get_type_hints(args)
    for field in sorted(msgspec.structs.fields(args), key=lambda field: not field.required):
        mark = "" if field.required else "?"
        parts.append(f"`{field.encode_name}{mark}` {_type_name(hints[field.name])}")
    return ", ".join(parts) or "none"


def _type_name(kind: Any) -> str:
    text = getattr(kind, "__name__", "") if isinstance(kind, type) else str(kind)
    for name in ("typing.", "msgspec._core.", "msgspec."):
        text = text.replace(name, "")
    text = re.sub(r"Annotated\[(.*?), Meta\([^)]*\)\]", r"\1", text)
    text = re.sub(r"^Optional\[(.*)\]$", r"\1", text)
    return (text or str(kind)).replace(" | None", "").replace("Raw", "any").replace("Any", "any")


def make(root: Path) -> Made:
    return Made({}, {"docs/MESSAGES.md": {"calls": calls_table()}})

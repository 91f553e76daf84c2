"""The table of calls in docs/MESSAGES.md, made from the methods themselves.

`python -m tools.reference_calls docs/MESSAGES.md` rewrites it; a test fails when it is stale.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from im_service.calls import Args, Method
from im_service.methods import METHODS

BEGIN, END = "<!-- generated:calls -->", "<!-- /generated -->"


def method_table(methods: Mapping[str, Method]) -> str:
    """Markdown: one row per method."""
    lines = ["| method | arguments | result | refuses with | what |", "|---|---|---|---|---|"]
    for method in methods.values():
        codes = ", ".join(str(int(code)) for code in method.errors)
        name = f"`{method.name}`" + (" *server*" if method.server_only else "")
        lines.append(f"| {name} | {_arguments(method.args)} | `{method.result}` | {codes} | {method.doc} |")
    return "\n".join(lines).replace("|nil", "\\|nil")


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


def rewritten(page: str) -> str:
    """The page with a fresh table."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{method_table(METHODS)}\n{END}{tail}"


def main() -> None:
    """Rewrite the page named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text()))


if __name__ == "__main__":
    main()

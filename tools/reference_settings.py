"""Writes what repeats the code: the sample settings and the generated tables of two pages of docs.

`python -m tools.reference_settings` writes them, `--check` says which are stale (exit code 1).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec

from control.api.table import OPERATIONS
from control.metrics import GATEWAY_COUNTERS, GATEWAY_LIVE
from control.settings.sample import reference_table, sample_toml
from im_service.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]


def routes_table() -> str:
    """The routes that are one method of the message service each."""
    lines = ["| route | scope | what it does | body or query | answer |", "|---|---|---|---|---|"]
    for operation in OPERATIONS:
        declared = METHODS[operation.method]
        named = set(re.findall(r"{(\w+)}", operation.path))
        members = [
            f"`{field.encode_name}`" + ("" if field.required else "?")
            for field in msgspec.structs.fields(declared.args)
            if field.encode_name not in named
        ]
        text = declared.doc.split(". ")[0].rstrip(".").replace("|", "\\|")
        result = declared.result.replace("|", "\\|")
        lines.append(
            f"| `{operation.http} /v1{operation.path}` | {operation.scope} | {text} |"
            f" {' '.join(members)} | `{result}` |"
        )
    return "\n".join(lines)


def metrics_table() -> str:
    """The metrics of the gateway core."""
    lines = ["| metric | meaning |", "|---|---|"]
    lines += [f"| `qianwan_gateway_{name}_total` | {text} |" for name, text in GATEWAY_COUNTERS.items()]
    lines += [f"| `qianwan_gateway_{name}` | {text} (gauge) |" for name, text in GATEWAY_LIVE.items()]
    return "\n".join(lines)


def rendered() -> dict[Path, str]:
    """Every file this module writes, as it should be."""
    operations, api = ROOT / "docs" / "OPERATIONS.md", ROOT / "docs" / "API.md"
    return {
        ROOT / "deploy" / "qianwan.toml": sample_toml(),
        operations: fill(
            operations.read_text(), {"settings": reference_table(), "gateway-metrics": metrics_table()}
        ),
        api: fill(api.read_text(), {"routes": routes_table()}),
    }


def fill(page: str, parts: dict[str, str]) -> str:
    """Put each part between `<!-- generated:NAME -->` and `<!-- /generated -->`. Raises ValueError if one
    is absent.
    """
    for name, part in parts.items():
        begin = f"<!-- generated:{name} -->\n"
        head, found, rest = page.partition(begin)
        _, end, tail = rest.partition("<!-- /generated -->")
        if not found or not end:
            raise ValueError(f"the page has no place for {name}")
        page = f"{head}{begin}\n{part.strip()}\n\n{end}{tail}"
    return page


def main() -> int:
    stale = [path for path, text in rendered().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"stale: {path.relative_to(ROOT)}; run python -m tools.reference_settings\n")
        return int(bool(stale))
    for path in stale:
        path.write_text(rendered()[path])
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write every file and every table of the docs that repeats something in the repository.

    python tools/generate.py                    write what is stale
    python tools/generate.py --check            write nothing; name stale files and exit 1 if there are any
    python tools/generate.py protocol [--check] one part only

A page holds its tables between `<!-- generated:NAME -->` and `<!-- /generated -->`, code its lines between
`# generated:NAME` and `# /generated`. The part `protocol` needs the standard library only: it runs before
anything is built or installed. The others import what they describe.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.parts.made import Made

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    "protocol",
    "vectors",
    "settings",
    "core_config",
    "metrics",
    "monitoring",
    "routes",
    "admin_routes",
    "calls",
    "events",
    "etcd",
)
MARKED = re.compile(
    r"^(?P<indent> *)(?P<open><!-- |# )generated:(?P<name>[\w-]+)(?P<close> -->|)\n"
    r".*?^ *(?P=open)/generated(?P=close)$",
    re.DOTALL | re.MULTILINE,
)


def fill(page: str, text: str, tables: Mapping[str, str], *, whole: bool = True) -> str:
    """The page with each marked table rewritten. A table without its marks is an error, and so are marks
    that no part writes, unless `tables` are not the `whole` of them.
    """
    marks = [match["name"] for match in MARKED.finditer(text)]
    if missing := sorted(set(tables) - set(marks)):
        raise SystemExit(f"{page}: no place for {', '.join(missing)}")
    if whole and (unknown := sorted(set(marks) - set(tables))):
        raise SystemExit(f"{page}: nothing is called {', '.join(unknown)}; there are {', '.join(tables)}")

    def table(match: re.Match[str]) -> str:
        name, head, tail = match["name"], match["open"], match["close"]
        if name not in tables:
            return match[0]
        lines = [
            f"{head}generated:{name}{tail}",
            *tables[name].strip().splitlines(),
            f"{head}/generated{tail}",
        ]
        return "\n".join(match["indent"] + line if line else "" for line in lines)

    return MARKED.sub(table, text)


def generate(root: Path, parts: Iterable[str] = PARTS) -> dict[Path, str]:
    """Every generated file of these parts below root, with the content it should have."""
    files: dict[Path, str] = {}
    pages: dict[str, dict[str, str]] = {}
    for part in parts:
        make: Callable[[Path], Made] = importlib.import_module(f"tools.parts.{part}").make
        made = make(root)
        files |= {root / name: text for name, text in made.files.items()}
        for page, tables in made.tables.items():
            pages.setdefault(page, {}).update(tables)
    whole = set(parts) == set(PARTS)
    for page, tables in pages.items():
        text = (root / page).read_text(encoding="utf-8")
        files[root / page] = fill(page, text, tables, whole=whole)
    return files


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named"
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail if a file is stale")
    parser.add_argument("--root", type=Path, default=ROOT)
    args = parser.parse_args(argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    stale = [
        (path, text)
        for path, text in generate(args.root, args.parts or PARTS).items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        print(f"{'stale' if args.check else 'written'}: {path.relative_to(args.root)}")
        if not args.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

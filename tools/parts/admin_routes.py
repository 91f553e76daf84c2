"""The routes of docs/ADMIN.md."""

from __future__ import annotations

import re
from pathlib import Path

from control.api.admin.router import PREFIX
from control.api.admin.table import ROUTES
from tools.parts.calls import arguments
from tools.parts.made import Made, markdown


def routes_table() -> str:
    rows = []
    for route in ROUTES:
        in_path = set(re.findall(r"{(\w+)}", route.path))
        takes = ", ".join(arguments(route.takes, without=in_path))
        answer = ", ".join(route.answers.__struct_fields__)
        must = " With `If-Match`." if route.revised else ""
        rows.append(
            (
                f"`{route.http} {PREFIX}{route.path}`",
                route.role,
                route.doc + "." + must,
                takes,
                f"`{{{answer}}}`",
            )
        )
    return markdown(["route", "role", "what it does", "body or query", "answer"], rows)


def make(root: Path) -> Made:
    return Made({}, {"docs/ADMIN.md": {"admin-routes": routes_table()}})

"""The routes of docs/API.md that are one method of the message service each."""

from __future__ import annotations

import re
from pathlib import Path

from control.api.forms import PLAIN
from control.api.operations import Operation
from control.api.table import OPERATIONS
from im_service.methods import METHODS
from tools.parts.calls import arguments
from tools.parts.made import Made, markdown


def routes_table() -> str:
    heads = ["route", "scope", "what it does", "body or query", "answer"]
    return markdown(heads, [_row(operation) for operation in OPERATIONS])


def _row(operation: Operation) -> tuple[str, ...]:
    method = METHODS[operation.method]
    in_path = set(re.findall(r"{(\w+)}", operation.path))
    return (
        f"`{operation.http} /v1{operation.path}`",
        operation.scope,
        method.doc.split(". ")[0].rstrip("."),
        ", ".join(arguments(method.args, without=in_path) + _form(operation)),
        f"`{method.result}`",
    )


def _form(operation: Operation) -> list[str]:
    form = operation.form
    return [f"`{form.member}?` `{PLAIN}` or `{form.name}`"] if form else []


def make(root: Path) -> Made:
    return Made({}, {"docs/API.md": {"routes": routes_table()}})

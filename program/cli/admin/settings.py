"""`qianwan settings`: what holds in every process, changed while they run."""

from __future__ import annotations

import json
import math
from typing import Annotated

import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, show_gone, show_one
from program.cli.common import fail

app = typer.Typer(help="Live settings of all processes.", no_args_is_help=True)


@app.command("show")
@asks_admin
def show_settings(
    admin: Admin,
    as_json: JsonOption = False,
) -> None:
    """Every live setting, what was set, and earlier versions."""
    _show(admin.get("/settings/live"), as_json)


@app.command("set")
@asks_admin
def set_settings(
    admin: Admin,
    values: Annotated[list[str], typer.Argument(help="key=value, as log.level=debug; key= for its default")],
    as_json: JsonOption = False,
) -> None:
    """Change some, keep the others. Refused where somebody else changes them at the same time."""
    found, revision = admin.read("/settings/live")
    held = found["values"]
    assert isinstance(held, dict)
    for word in values:
        key, equals, text = word.partition("=")
        if not equals:
            raise fail(f"{word!r} is not key=value", 2)
        if text:
            held[key] = _value(text)
        else:
            held.pop(key, None)
    _show(admin.put("/settings/live", {"values": held}, revision), as_json)


@app.command()
@asks_admin
def reset(
    admin: Admin,
    as_json: JsonOption = False,
) -> None:
    """Go on with what the processes were started with."""
    show_gone(admin.delete("/settings/live"), as_json, "No setting was live")


def _show(found: Json, as_json: bool) -> None:
    show_one(found, as_json)
    refused = found["refused"]
    assert isinstance(refused, list)
    for each in refused:
        told = f"{each['node']} does not take {', '.join(each['keys'])}: its log says why"
        typer.secho(told, fg=typer.colors.YELLOW, err=True)


def _value(text: str) -> object:
    """A number or a switch as JSON writes it; anything else is a text."""
    try:
        found: object = json.loads(text)
    except ValueError:
        return text
    if isinstance(found, float) and not math.isfinite(found):
        raise fail(f"{text} is too large a number", 2)
    return found if isinstance(found, bool | int | float) else text

"""`qianwan routes`: whether what a gateway has is what every im process knows of it."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, show

app = typer.Typer(help="Where users, groups and rooms have members.", no_args_is_help=True)

PAUSE_S = 1.0
GATEWAYS = {
    "gateway": "gateway", "name": "name", "open": "open", "told": "sessions", "registered": "registered",
    "moved": "moved", "equal": "equal",
}  # fmt: skip
PAIRS = {
    "gateway": "gateway", "im": "im", "topics": "topics", "routes": "routes", "equal": "equal",
    "age": "age_s",
}  # fmt: skip


@app.callback()
def _group() -> None:
    """Where users, groups and rooms have members."""


@app.command()
@asks_admin
def check(
    admin: Admin,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to look again while they differ: logins are under way")
    ] = 15.0,
    as_json: JsonOption = False,
) -> None:
    """Compare each gateway's connections and topics with what every im process has of it. Exit code 1 when
    they differ: the gateway is asked to repeat everything, look again after a minute.
    """
    until = time.monotonic() + wait
    found = admin.get("/routes")
    while not found["equal"] and time.monotonic() < until:
        time.sleep(PAUSE_S)
        found = admin.get("/routes")
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        show(found, False, "Sessions of gateways, and those that im processes know", GATEWAYS, "gateways")
        if found["pairs"]:
            show(found, False, "Topics of gateways, and routes of im processes", PAIRS, "pairs")
        _verdict(found)
    raise typer.Exit(0 if found["equal"] else 1)


@app.command()
@asks_admin
def members(
    admin: Admin,
    topic: Annotated[str, typer.Argument(help="As r/room, r/room#tag or g/group")],
    as_json: JsonOption = False,
) -> None:
    """How many connections are in a topic, by gateway."""
    found = admin.get("/topics", {"topic": topic})
    show(
        found, as_json, f"{found['members']} connections", {"gateway": "node", "members": "members"}, "nodes"
    )
    if not as_json and found["silent"]:
        typer.secho(f"no answer from {found['silent']}", fg=typer.colors.YELLOW, err=True)


def _verdict(found: Json) -> None:
    if found["silent"]:
        typer.secho(f"processes that do not answer: {found['silent']}", fg=typer.colors.RED, err=True)
    if found["equal"]:
        typer.echo("equal on every pair")
    else:
        typer.secho("they differ, or not everything was heard", fg=typer.colors.RED, err=True)

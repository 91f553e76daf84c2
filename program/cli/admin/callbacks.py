"""`qianwan callbacks`: what the application's server is asked before it happens."""

from __future__ import annotations

from typing import Annotated

import typer

from control.outgoing.signing import make_secret, public_key
from program.cli.admin.client import Admin, JsonOption, asks_admin, show_one
from program.cli.common import fail

app = typer.Typer(help="What the application's server is asked before it happens.", no_args_is_help=True)


@app.command("test")
@asks_admin
def try_callback(
    admin: Admin,
    kind: Annotated[
        str, typer.Option("--kind", help="message.single, message.group, message.room, friend.request, ...")
    ] = "message.single",
    as_json: JsonOption = False,
) -> None:
    """Ask a question of no consequence (`"test": true`), and say what came of it. Exit code 1: no answer."""
    found = admin.post("/callbacks/test", {"kind": kind})
    show_one(found, as_json)
    if found["outcome"] not in ("allow", "refuse"):
        raise fail(f"no answer: {found['outcome']}: {found['reason']}", 1)


@app.command("secret")
def new_secret(
    asymmetric: Annotated[
        bool, typer.Option("--ed25519", help="Of two halves: the application's server needs the public one")
    ] = False,
) -> None:
    """Make a secret for callbacks.secret and other signatures; it is printed here and kept nowhere."""
    secret = make_secret(asymmetric)
    typer.echo(secret)
    if (public := public_key(secret)) is not None:
        typer.echo(f"public key, for those who verify: {public}", err=True)

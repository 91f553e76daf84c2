"""`qianwan push`: whether vendors of push take what they are sent."""

from __future__ import annotations

from typing import Annotated

import typer

from program.cli.admin.client import Admin, JsonOption, asks_admin, show

app = typer.Typer(help="Vendors of push.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Vendors of push."""


@app.command("test")
@asks_admin
def try_user(
    admin: Admin,
    user: Annotated[str, typer.Argument(help="Whose devices are pushed to")],
    as_json: JsonOption = False,
) -> None:
    """Push a test to every device of a user, and show what the vendors say. Exit code 1 when one of them does
    not take it."""
    found = admin.post("/push/test", {"user": user})
    columns = {"device": "device", "vendor": "vendor", "app": "app", "outcome": "outcome"}
    show(found, as_json, f"Devices of {user}", columns, "devices")
    devices = found["devices"]
    assert isinstance(devices, list)
    if any(each["outcome"] != "sent" for each in devices):
        raise typer.Exit(1)

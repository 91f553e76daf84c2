"""`qianwan dict`: dictionaries that halve what short messages cost on the wire."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated

import typer

from program.cli.admin.client import Admin, JsonOption, asks_admin, show_gone, show_one
from program.cli.common import fail
from program.dictionary import SMALLEST, TooFewSamples, measured, samples_of, train

app = typer.Typer(help="Dictionaries that bodies to clients are compressed by.", no_args_is_help=True)

OUT = Path("qianwan.dict")


@app.command("train")
def trained(
    files: Annotated[list[Path], typer.Argument(help="Files of samples: JSON lines, each a text or a body")],
    out: Annotated[Path, typer.Option(help="Where the dictionary is written")] = OUT,
    size: Annotated[
        int, typer.Option(min=SMALLEST, max=61_435, help="Bytes of the dictionary at most")
    ] = 8192,
    id: Annotated[
        int, typer.Option(min=0, max=0xFFFF, help="Its id, another one for each. Default: of its content")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train a dictionary from samples of what is sent, and say what it saves on a fifth of them that it was
    not trained with. What samples hold often stands in the dictionary, and every client gets it: give none
    that are secret.
    """
    try:
        samples = samples_of(files)
        dictionary = train(samples, size, id)
    except (OSError, ValueError) as error:
        raise fail(str(error), 2) from None
    except TooFewSamples as error:
        raise fail(str(error)) from None
    out.write_bytes(dictionary)
    found = measured(dictionary, samples)
    show_one({"file": str(out), **found}, as_json)


@app.command()
@asks_admin
def publish(
    admin: Admin,
    file: Annotated[Path, typer.Argument(help="A trained dictionary")] = OUT,
    as_json: JsonOption = False,
) -> None:
    """Compress by this dictionary from now on. A client asks for it when it connects next; until it has it,
    its bodies are compressed without one.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise fail(str(error), 2) from None
    show_one(admin.put("/dictionary", {"data": base64.b64encode(data).decode()}), as_json)


@app.command("show")
@asks_admin
def shown(
    admin: Admin,
    out: Annotated[Path | None, typer.Option(help="Write the dictionary into this file")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which dictionary is published."""
    found = admin.get("/dictionary")
    data = base64.b64decode(str(found["data"]))
    if out is not None:
        out.write_bytes(data)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    show_one({"id": found["id"], "bytes": len(data)}, False)


@app.command()
@asks_admin
def withdraw(
    admin: Admin,
    as_json: JsonOption = False,
) -> None:
    """Compress without a dictionary from now on; what clients send by it is still read."""
    show_gone(admin.delete("/dictionary"), as_json, "There was no dictionary")

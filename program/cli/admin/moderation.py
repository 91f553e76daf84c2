"""`qianwan moderation`: lists of words that texts are judged by."""

from __future__ import annotations

import json
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, segment, show, show_gone, show_one
from program.cli.common import fail

app = typer.Typer(help="Lists of words that texts are judged by.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the list")]


class Does(StrEnum):
    """What follows from a word of a list."""

    NOTE = "note"
    MASK = "mask"
    HOLD = "hold"
    REJECT = "reject"


@app.command("lists")
@asks_admin
def list_lists(
    admin: Admin,
    as_json: JsonOption = False,
) -> None:
    """The lists, and how many words each has."""
    found = admin.get("/moderation/lists")
    columns = {
        "list": "name", "action": "action", "category": "category", "words": "words", "patterns": "patterns",
        "allow": "allow", "revision": "revision",
    }  # fmt: skip
    show(found, as_json, "Lists of words", columns, "lists")


@app.command("show")
@asks_admin
def show_list(
    admin: Admin,
    name: NameArgument,
) -> None:
    """Print a list as JSON, as `publish` takes it."""
    found = admin.get(f"/moderation/lists/{segment(name)}")
    typer.echo(json.dumps(found, indent=1, ensure_ascii=False))


@app.command()
@asks_admin
def publish(
    admin: Admin,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="JSON or TOML of a list, or a text file with a word a line")],
    action: Annotated[
        Does | None, typer.Option("--action", help="What follows; default: as the file says, else mask")
    ] = None,
    category: Annotated[str | None, typer.Option("--category", help="Default: as the file says")] = None,
    pinyin: Annotated[
        bool, typer.Option("--pinyin", help="Find Han words too that are spelled in Latin letters")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge by this list from now on; one of the same name is replaced."""
    given = _read(file)
    if action is not None or "action" not in given:
        given["action"] = (action or Does.MASK).value
    if category is not None:
        given["category"] = category
    if pinyin:
        given["pinyin"] = True
    show_one(admin.put(f"/moderation/lists/{segment(name)}", given), as_json)


def _read(file: Path) -> Json:
    try:
        content = file.read_text("utf-8")
        if file.suffix == ".toml":
            return tomllib.loads(content)
        if file.suffix != ".json":
            lines = (line.strip() for line in content.splitlines())
            return {"words": [line for line in lines if line and not line.startswith("#")]}
        found = json.loads(content)
    except (OSError, ValueError) as error:
        raise fail(f"{file}: {error}", 2) from None
    if not isinstance(found, dict):
        raise fail(f"{file}: a list is a JSON object", 2)
    return found


@app.command()
@asks_admin
def drop(
    admin: Admin,
    name: NameArgument,
    as_json: JsonOption = False,
) -> None:
    """Judge without this list from now on."""
    show_gone(admin.delete(f"/moderation/lists/{segment(name)}"), as_json, f"There was no list {name}")


@app.command("test")
@asks_admin
def try_text(
    admin: Admin,
    text: Annotated[str, typer.Argument(help="What somebody might send")],
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="s, g, r: single chat, group, chatroom; call: a name"),
    ] = None,
    suspect: Annotated[bool, typer.Option("--suspect", help="Of a sender who had a hit lately")] = False,
    as_json: JsonOption = False,
) -> None:
    """Which words stand in a text, where, and what would happen to it."""
    body: Json = {"text": text, "suspect": suspect} | ({"kind": kind} if kind else {})
    found = admin.post("/moderation/test", body)
    if as_json:
        show_one(found, True)
        return
    typer.echo(f"verdict: {found['verdict']}")
    typer.echo("result: nobody sees it" if found["result"] is None else f"result: {found['result']}")
    if found["hits"]:
        columns = {
            "list": "list",
            "action": "action",
            "word": "word",
            "at": "start",
            "to": "end",
            "text": "text",
        }
        show(found, False, "Hits", columns, "hits")

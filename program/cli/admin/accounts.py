"""`qianwan accounts`: who was made, who is disabled, deleted, erased."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, segment, show, show_one
from program.cli.common import fail

app = typer.Typer(help="Accounts of the users of the app.", no_args_is_help=True)

UserArgument = Annotated[str, typer.Argument(help="Id of the user")]
LOOK_S = 0.2
BATCH = 100
"""Accounts of one request of an import."""
COLUMNS = {
    "user": "user", "state": "state", "created": "created_ms", "disabled until": "disabled_until_ms",
}  # fmt: skip


def _at(user: str, *more: str) -> str:
    return "/".join((f"/accounts/{segment(user)}", *more))


@app.command("list")
@asks_admin
def list_accounts(
    admin: Admin,
    state: Annotated[
        str, typer.Option("--state", help="live, disabled, deleted, erasing, erased; default: all")
    ] = "all",
    created_since_ms: Annotated[
        int, typer.Option("--created-since-ms", help="Made then or later, in milliseconds since 1970")
    ] = 0,
    after: Annotated[int, typer.Option("--after", help="Where a list before it stopped")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Accounts in the order in which they were first named."""
    found: list[object] = []
    more = True
    while more and len(found) < limit:
        query = {
            "state": state, "created_since_ms": created_since_ms, "after": after,
            "limit": min(500, limit - len(found)),
        }  # fmt: skip
        page = admin.get("/accounts", query)
        lines, more, after = page["accounts"], bool(page["more"]), int(str(page["after"]))
        assert isinstance(lines, list)
        found += lines
    show({"accounts": found, "after": after, "more": more}, as_json, "Accounts", COLUMNS, "accounts")


@app.command("show")
@asks_admin
def show_account(admin: Admin, user: UserArgument, as_json: JsonOption = False) -> None:
    """One account, and what was decided about it."""
    show_one(admin.get(_at(user)), as_json)


@app.command()
@asks_admin
def create(
    admin: Admin,
    user: UserArgument,
    nick: Annotated[str | None, typer.Option("--nick", help="What others see")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account."""
    body: Json = {"user": user}
    if nick is not None:
        body["nick"] = nick
    show_one(admin.post("/accounts", body), as_json)


def _batches(file: Path, skip: int) -> Iterator[tuple[int, list[Json]]]:
    """(number of the last line, accounts): a line is a JSON object, or an id alone."""
    batch: list[Json] = []
    number = 0
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if number <= skip or not line.strip():
                    continue
                one = json.loads(line) if line.lstrip().startswith("{") else {"user": line.strip()}
                batch.append(one)
                if len(batch) == BATCH:
                    yield number, batch
                    batch = []
    except (OSError, ValueError) as error:
        raise fail(f"{file}, line {number}: {error}", 2) from None
    if batch:
        yield number, batch


@app.command("import")
@asks_admin
def bring_in(
    admin: Admin,
    file: Annotated[
        Path, typer.Argument(help="A JSON object a line, with user and nick, icon ...; or an id")
    ],
    skip: Annotated[int, typer.Option("--skip", min=0, help="Lines that were done before")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make many accounts. Those that exist stay as they are, so it may be given again after it broke off.
    Exit code 1 where one was not taken; it is named."""
    counts: dict[str, int] = {}
    for number, batch in _batches(file, skip):
        results = admin.post("/accounts/import", {"accounts": batch})["results"]
        assert isinstance(results, list)
        for line in results:
            counts[line["outcome"]] = counts.get(line["outcome"], 0) + 1
            if line["outcome"] not in ("created", "exists"):
                typer.echo(f"{line['user']}: {line['outcome']}", err=True)
        typer.echo(f"{number} lines done", err=True)
    show_one(dict(sorted(counts.items())), as_json)
    if set(counts) - {"created", "exists"}:
        raise typer.Exit(1)


@app.command()
@asks_admin
def disable(
    admin: Admin,
    user: UserArgument,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="Default: until it is enabled")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Close the sessions of an account, and let it do nothing."""
    show_one(admin.post(_at(user, "disable"), {"seconds": seconds or -1}), as_json)


@app.command()
@asks_admin
def enable(admin: Admin, user: UserArgument, as_json: JsonOption = False) -> None:
    """Let a disabled account act again."""
    show_one(admin.post(_at(user, "disable"), {"seconds": 0}), as_json)


@app.command()
@asks_admin
def delete(admin: Admin, user: UserArgument, as_json: JsonOption = False) -> None:
    """End an account. What it has and said stays until it is erased."""
    show_one(admin.delete(_at(user)), as_json)


@app.command()
@asks_admin
def restore(admin: Admin, user: UserArgument, as_json: JsonOption = False) -> None:
    """Take a deletion back."""
    show_one(admin.post(_at(user, "restore"), {}), as_json)


@app.command()
@asks_admin
def erase(
    admin: Admin,
    user: UserArgument,
    yes: Annotated[bool, typer.Option("--yes", help="It does not come back")] = False,
    wait_s: Annotated[int, typer.Option("--wait-s", min=0, help="Wait so long for its end")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Remove all that is theirs. What they said leaves placeholders; a receipt stays."""
    if not yes:
        raise fail(f"all that is {user}'s goes and does not come back: say --yes", 2)
    found = admin.post(_at(user, "erase"), {})
    until = time.monotonic() + wait_s
    while found["state"] != "erased" and time.monotonic() < until:
        time.sleep(LOOK_S)
        found = admin.get(_at(user, "erasure"))
    show_one(found, as_json)


@app.command()
@asks_admin
def erasure(admin: Admin, user: UserArgument, as_json: JsonOption = False) -> None:
    """How far an erasure is, and its receipt."""
    show_one(admin.get(_at(user, "erasure")), as_json)


@app.command()
@asks_admin
def erasures(
    admin: Admin,
    under_way: Annotated[bool, typer.Option("--open", help="Only those under way")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erasures and their receipts, oldest first."""
    found: list[object] = []
    after, more = 0, True
    while more:
        page = admin.get("/erasures", {"after": after, "open": "true" if under_way else "", "limit": 100})
        lines, more, after = page["erasures"], bool(page["more"]), int(str(page["after"]))
        assert isinstance(lines, list)
        found += lines
    columns = {
        "id": "id", "user": "user", "state": "state", "asked": "asked_ms", "done": "done_ms",
        "erased": "erased",
    }  # fmt: skip
    show({"erasures": found}, as_json, "Erasures", columns, "erasures")


@app.command()
@asks_admin
def export(
    admin: Admin,
    user: UserArgument,
    after: Annotated[str, typer.Option("--after", help="Where an export before it stopped")] = "",
    as_json: JsonOption = False,
) -> None:
    """Print all that is stored of one user, a JSON object a line. Standard error says where to go on."""
    more = True
    while more:
        page = admin.get(_at(user, "export"), {"after": after, "limit": 200})
        lines, more = page["lines"], bool(page["more"])
        assert isinstance(lines, list)
        for line in lines:
            typer.echo(json.dumps(line, ensure_ascii=as_json))
        after = str(page["after"])
        if more:
            typer.echo(f"--after {after}", err=True)

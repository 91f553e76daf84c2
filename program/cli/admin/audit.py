"""`qianwan audit`: who changed what, and whether that is still what was written."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from program.cli.admin.client import Admin, JsonOption, asks_admin, show
from program.cli.common import ConfigOption, DataDirOption, fail, settings_or_exit

app = typer.Typer(help="The log of changes.", no_args_is_help=True)

TrailOption = Annotated[
    str, typer.Option(help="operators: admin API and commands; apps: the API for app servers; refusals")
]
COLUMNS = {
    "seq": "seq", "at": "at", "what": "what", "ids": "ids", "who": "who", "name": "name",
    "from": "address", "via": "via", "before": "before", "after": "after", "outcome": "outcome",
}  # fmt: skip


@app.command("list")
@asks_admin
def list_entries(
    admin: Admin,
    trail: TrailOption = "operators",
    what: Annotated[str, typer.Option(help="Only operations that begin with this")] = "",
    who: Annotated[str, typer.Option(help="Only of this key id, or user of the system")] = "",
    before: Annotated[int, typer.Option(help="Only entries below this number")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show changes, newest first. A change whose end is there is one row."""
    query = {"trail": trail, "what": what, "who": who, "before": before, "limit": limit}
    found = admin.get("/audit", query)
    if not as_json:
        entries = found["entries"]
        assert isinstance(entries, list)
        ended = {entry.get("begun") for entry in entries}
        found["entries"] = [entry for entry in entries if entry["seq"] not in ended]
    show(found, as_json, "Changes", COLUMNS, "entries")
    if not as_json and found["before"]:
        typer.echo(f"older ones: --before {found['before']}")


@app.command()
def verify(
    anchor: Annotated[
        list[str] | None,
        typer.Option(help="<trail>:<seq>:<hash> that was kept elsewhere: misses an end that was cut off"),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Read the files of this data folder: is every line the one that was written? Exit code 1 when not. The
    last line of the answer is an anchor to keep elsewhere.
    """
    from control.audit.entry import TRAILS, parse_anchor
    from control.audit.verify import verify as verify_trail

    folder = settings_or_exit(config, {"server.data_dir": data_dir}).server.data_dir / "audit"
    if not folder.is_dir():
        raise fail(f"there is no audit log {folder}")
    try:
        pairs = [text.partition(":") for text in anchor or ()]
        anchors = {
            trail: [parse_anchor(rest) for name, _, rest in pairs if name == trail] for trail in TRAILS
        }
        if unknown := {name for name, _, _ in pairs} - set(TRAILS):
            raise ValueError(f"no trail: {', '.join(sorted(unknown))}; there are {', '.join(TRAILS)}")
    except ValueError as error:
        raise fail(str(error), 2) from None
    verdicts = {trail: verify_trail(folder / trail, anchors[trail]) for trail in TRAILS}
    if as_json:
        shown = {
            name: {f: getattr(each, f) for f in each.__struct_fields__} for name, each in verdicts.items()
        }
        typer.echo(json.dumps(shown, indent=1))
    for name, each in verdicts.items():
        if each.problem:
            typer.secho(f"{name}: {each.problem}", fg=typer.colors.RED, err=True)
        elif not as_json:
            last = f", anchor {name}:{each.last}" if each.last else ""
            read = f"{each.entries} lines as they were written{last}"
            typer.echo(
                f"{name}: {read if each.entries else 'no lines: none was written, or its folder is gone'}"
            )
    raise typer.Exit(int(any(each.problem for each in verdicts.values())))

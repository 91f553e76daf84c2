"""`qianwan doctor` and `qianwan store`."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from control.cli.common import ConfigOption, DataDirOption, fail, settings_or_exit

store_app = typer.Typer(help="The message store.", no_args_is_help=True)


def doctor(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Check limits, ports, keys and libraries. Exit code 0 all well, 1 with a red line."""
    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    from control.doctor import RED, YELLOW, examine

    findings = examine(settings)
    red = any(finding.level == RED for finding in findings)
    if as_json:
        typer.echo(json.dumps([finding.__dict__ for finding in findings], indent=1))
        raise typer.Exit(int(red))
    from rich.console import Console
    from rich.table import Table

    table = Table(title="qianwan doctor", title_justify="left")
    for column in ("", "check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    colours = {RED: ("red", "✗"), YELLOW: ("yellow", "!")}
    for finding in findings:
        colour, mark = colours.get(finding.level, ("green", "✓"))
        table.add_row(f"[{colour}]{mark}[/]", finding.check, finding.found, finding.advice)
    Console().print(table)
    raise typer.Exit(int(red))


@store_app.command()
def copy(
    source: Annotated[str, typer.Argument(help="Path of an SQLite store or a postgresql:// URL")],
    target: Annotated[str, typer.Argument(help="Path of an SQLite store or a postgresql:// URL")],
) -> None:
    """Copy a store to another engine: resumable, and checked row by row at the end."""
    from im_service.storage import copy as store_copy

    try:
        asyncio.run(store_copy.main(source, target))
    except (OSError, ValueError) as error:
        raise fail(str(error)) from None

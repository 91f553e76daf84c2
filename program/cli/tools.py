"""`qianwan doctor` and `qianwan store`."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from program.cli.common import ConfigOption, DataDirOption, console, fail, settings_or_exit
from program.cli.keys import audited

store_app = typer.Typer(help="The message store.", no_args_is_help=True)


def doctor(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Check the machine, and what a start with these settings would meet. Exit code 1 with a red line."""
    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    from control.logs import setup_logs
    from program.doctor import RED, YELLOW, examine

    setup_logs("error")  # what the checks find stands in the table
    findings = examine(settings)
    red = any(finding.level == RED for finding in findings)
    if as_json:
        typer.echo(json.dumps([finding.__dict__ for finding in findings], indent=1))
        raise typer.Exit(int(red))
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="qianwan doctor", title_justify="left")
    for column in ("", "check", "found", "what to do"):
        table.add_column(column, overflow="fold")
    colours = {RED: ("red", "✗"), YELLOW: ("yellow", "!")}
    for finding in findings:
        colour, mark = colours.get(finding.level, ("green", "✓"))
        table.add_row(f"[{colour}]{mark}[/]", finding.check, escape(finding.found), escape(finding.advice))
    console().print(table)
    raise typer.Exit(int(red))


@store_app.command()
def copy(
    source: Annotated[
        Path, typer.Argument(help="SQLite store, e.g. qianwan-data/store.sqlite3; stop its server first")
    ],
    target: Annotated[
        str, typer.Argument(help="postgresql:// URL of an empty database, or of a copy begun before")
    ],
) -> None:
    """Copy an SQLite store to PostgreSQL: may be interrupted and run again, and compares every row at the
    end.
    """
    from rich.console import Console

    from im_service.storage.errors import StoreError
    from im_service.storage.move import Copied, copy_store

    console = Console()

    def show(step: Copied) -> None:
        console.print(f"{step.table}: {step.rows:,} rows" + (" done" if step.done else ""), highlight=False)

    try:
        rows = asyncio.run(copy_store(source, target, progress=show))
    except (OSError, ValueError, StoreError) as error:
        raise fail(f"not copied: {error}") from None
    console.print(f"copied and compared: {sum(rows.values()):,} rows", highlight=False)


@store_app.command()
def restored(config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """Say that the store was put back from a copy: it begins a new incarnation, and clients start over. A
    server notices a copied file or database by itself; not a snapshot of a whole machine or volume.
    """
    settings = settings_or_exit(config, {"server.data_dir": data_dir})
    from control.im.role import make_store
    from im_service.storage.errors import StoreError

    async def renew() -> bytes:
        store, fresh = make_store(settings), os.urandom(16)
        await store.start()
        try:
            await store.renew(fresh, time.time_ns() // 1_000_000)
        finally:
            await store.stop()
        return fresh

    try:
        with audited(settings, "store.restored"):
            fresh = asyncio.run(renew())
        typer.echo(f"the store's incarnation is {fresh.hex()} now")
    except StoreError as error:
        raise fail(f"not changed: {error}") from None

"""`qianwan config`: check and show settings."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from control.settings import find_config, sources
from control.settings.load import walk
from program.cli.common import ConfigOption, DataDirOption, console, settings_or_exit

app = typer.Typer(help="Check and show settings.", no_args_is_help=True)


@app.command()
def check(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Print every effective setting and where it comes from; exit code 2 when something is wrong."""
    overrides = {"server.data_dir": data_dir} if data_dir else {}
    settings = settings_or_exit(config, overrides)
    where = sources(find_config(config), overrides)
    values = dict(walk(settings))
    if as_json:
        shown = {key: {"value": value, "source": where[key]} for key, value in values.items()}
        typer.echo(json.dumps(shown, default=str, indent=1))
        return
    from rich.table import Table

    table = Table(title="Effective settings", title_justify="left")
    for column in ("setting", "value", "source"):
        table.add_column(column, overflow="fold")
    for key, value in values.items():
        source = where[key]
        table.add_row(
            key, json.dumps(value, default=str), source, style=None if source == "default" else "bold"
        )
    console().print(table)


@app.command()
def sample() -> None:
    """Print a settings file with every setting, its meaning and its default."""
    from control.settings.sample import sample_toml

    typer.echo(sample_toml(), nl=False)

"""`qianwan config`: check and show settings."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from program.cli.common import ConfigOption, DataDirOption, console, fail, loaded_or_exit, refuse_files

app = typer.Typer(help="Check and show settings.", no_args_is_help=True)


@app.command()
def check(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Check every setting as `serve` does, and create nothing: files that settings name are read, servers are
    for `doctor`. Exit code 2 with all reasons when one cannot work.
    """
    settings, sources = loaded_or_exit(config, {"server.data_dir": data_dir})
    refuse_files(settings)
    from control.process.named_files import etcd_note

    if note := etcd_note(settings):
        raise fail(f"settings: {note}", 2)
    given = sum(source != "default" for source in sources.values())
    if as_json:
        typer.echo(json.dumps({"settings": len(sources), "given": given}, indent=1))
        return
    typer.echo(f"{len(sources)} settings are good, {given} of them are not defaults")


@app.command("print")
def show(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Print every effective setting and where it comes from; secrets are masked."""
    from control.settings.keys import walk

    settings, sources = loaded_or_exit(config, {"server.data_dir": data_dir})
    values = dict(walk(settings))
    if as_json:
        shown = {key: {"value": value, "source": sources[key]} for key, value in values.items()}
        typer.echo(json.dumps(shown, default=str, indent=1))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Effective settings", title_justify="left")
    for column in ("setting", "value", "source"):
        table.add_column(column, overflow="fold")
    for key, value in values.items():
        style = None if sources[key] == "default" else "bold"
        table.add_row(key, escape(json.dumps(value, default=str)), escape(sources[key]), style=style)
    console().print(table)


@app.command()
def sample() -> None:
    """Print a settings file with every setting, its meaning and its default."""
    from control.settings.sample import sample_toml

    typer.echo(sample_toml(), nl=False)

"""`qianwan config`: check and show settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from control.settings import Settings
from program.cli.common import ConfigOption, DataDirOption, console, fail, loaded_or_exit

app = typer.Typer(help="Check and show settings.", no_args_is_help=True)


@app.command()
def check(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Check every setting as `serve` does, and create nothing: the files of LBS and the certificates for etcd
    are read, servers are for `doctor`. Exit code 2 with all reasons when one cannot work.
    """
    settings, sources = loaded_or_exit(config, {"server.data_dir": data_dir})
    if "control" in settings.server.roles:
        _refuse_lbs_files(settings)
    if settings.etcd.endpoints:
        _refuse_certificates(settings)
    given = sum(source != "default" for source in sources.values())
    if as_json:
        typer.echo(json.dumps({"settings": len(sources), "given": given}, indent=1))
        return
    typer.echo(f"{len(sources)} settings are good, {given} of them are not defaults")


def _refuse_lbs_files(settings: Settings) -> None:
    from control.lbs.geo import GeoFile
    from control.lbs.sources import read_tables

    lbs = settings.control.lbs
    readers: list[tuple[str, Callable[[Path], object]]] = [(lbs.tables, read_tables)] if lbs.tables else []
    for name, read in [*readers, *((name, GeoFile) for name in lbs.mmdb)]:
        try:
            read(Path(name))
        except (OSError, ValueError) as error:
            raise fail(f"settings: control.lbs: {error}", 2) from None


def _refuse_certificates(settings: Settings) -> None:
    from control.coordination.etcd.certificates import read
    from control.coordination.etcd.errors import EtcdError

    try:
        note = read(settings.etcd).note
    except EtcdError as error:
        note = str(error)
    if note:
        raise fail(f"settings: {note}", 2)


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

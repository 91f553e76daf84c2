"""Options shared by the commands, and settings errors shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control.settings import Settings, SettingsError, find_config, load
from control.settings.environment import ignored
from control.settings.load import Loaded

if TYPE_CHECKING:
    from rich.console import Console

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file (TOML). Default: $QIANWAN_CONFIG, ./qianwan.toml"),
]
DataDirOption = Annotated[
    Path | None,  # the command says whose it is when it cannot be read
    typer.Option("--data-dir", "-d", help="Folder for keys and the embedded store", readable=False),
]


PIPE_COLUMNS = 10_000


def loaded_or_exit(config: Path | None, overrides: Mapping[str, Any]) -> Loaded:
    """Settings and their sources, or a readable list of what is wrong and exit code 2."""
    given = {key: value for key, value in overrides.items() if value is not None}
    if names := ignored():
        listed = ", ".join(names)
        typer.secho(f"settings: ignored, set by Kubernetes for a service: {listed}", dim=True, err=True)
    try:
        return load(find_config(config), given)
    except SettingsError as error:
        for line in error.lines:
            typer.secho(f"settings: {line}", fg=typer.colors.RED, err=True)
        raise typer.Exit(2) from None


def settings_or_exit(config: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """The settings alone."""
    return loaded_or_exit(config, overrides).settings


def refuse_files(settings: Settings) -> None:
    """Exit code 2 with all that is wrong with the files that settings name."""
    from control.process.named_files import problems

    if wrong := list(problems(settings)):
        for line in wrong:
            typer.secho(f"settings: {line}", fg=typer.colors.RED, err=True)
        raise typer.Exit(2)


def console() -> Console:
    """Where tables are printed. A pipe has no width: what `grep` gets is never cut or folded."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=PIPE_COLUMNS)


def fail(text: str, code: int = 1) -> typer.Exit:
    """Print an error line; raise what it returns."""
    typer.secho(text, fg=typer.colors.RED, err=True)
    return typer.Exit(code)

"""The door to the benchmark commands, which live in their own room."""

from __future__ import annotations

import importlib

import typer


def add_bench(app: typer.Typer) -> None:
    """Add `qianwan bench` when the benchmarks are installed; without them the command says so."""
    try:
        module = importlib.import_module("benchmarks.cli.commands")
    except ModuleNotFoundError as error:
        missing = error.name

        @app.command("bench", help="Benchmarks (not installed).")
        def absent() -> None:
            typer.echo(f"qianwan bench needs {missing}; install the development extra", err=True)
            raise typer.Exit(2)

        return
    app.add_typer(module.app, name="bench")

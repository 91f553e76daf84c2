"""The door to the benchmark commands, which live in their own room."""

from __future__ import annotations

import importlib

import typer

OURS = ("benchmarks", "crypto", "frame", "gateway_core")
"""Packages with C modules."""


def add_bench(app: typer.Typer) -> None:
    """Add `qianwan bench` when the benchmarks can run; else it says what to do, whatever follows it."""
    try:
        module = importlib.import_module("benchmarks.cli.commands")
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        built = missing.split(".")[0] not in OURS
        advice = "install the development extra: make dev" if built else "make build"
        anything = {"allow_extra_args": True, "ignore_unknown_options": True}

        @app.command(
            "bench",
            help=f"Benchmarks (not there yet: {advice}).",
            add_help_option=False,
            context_settings=anything,
        )
        def absent() -> None:
            typer.echo(f"qianwan bench needs {missing}, which is not there yet: {advice}", err=True)
            raise typer.Exit(2)

        return
    app.add_typer(module.app, name="bench")

"""The table of commands. What a command is made of is loaded when it is asked for: `serve` needs no pictures,
and a script that asks for one thing a hundred times waits for that one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("program.cli.serve", "serve"),
    "token": ("program.cli.keys", "token"),
    "doctor": ("program.cli.tools", "doctor"),
    "nodes": ("program.cli.admin.nodes", "nodes"),
    "drain": ("program.cli.admin.nodes", "drain"),
    "undrain": ("program.cli.admin.nodes", "undrain"),
    "storm": ("program.cli.admin.nodes", "storm"),
    "conns": ("program.cli.admin.conns", "conns"),
    "kick": ("program.cli.admin.conns", "kick"),
    "trace": ("program.cli.admin.conns", "trace"),
    "chat": ("program.cli.clients", "chat"),
    "demo": ("program.cli.clients", "demo"),
    "top": ("program.cli.clients", "top"),
    "config": ("program.cli.config", "app"),
    "keys": ("program.cli.keys", "keys_app"),
    "api-key": ("program.cli.api_keys", "app"),
    "store": ("program.cli.tools", "store_app"),
    "policy": ("program.cli.admin.policy", "app"),
    "settings": ("program.cli.admin.settings", "app"),
    "audit": ("program.cli.admin.audit", "app"),
    "routes": ("program.cli.admin.routes", "app"),
    "lbs": ("program.cli.admin.lbs", "app"),
    "dict": ("program.cli.admin.dictionary", "app"),
    "moderation": ("program.cli.admin.moderation", "app"),
    "events": ("program.cli.admin.events", "app"),
    "callbacks": ("program.cli.admin.callbacks", "app"),
    "push": ("program.cli.admin.push", "app"),
    "accounts": ("program.cli.admin.accounts", "app"),
    "cluster": ("program.cli.cluster", "app"),
}
"""Name -> module and what it has there: a command, or a group of them. In the order of `--help`."""
BENCH = "bench"
"""The benchmarks bring their own commands, which need more than what is installed to serve."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"qianwan {version('qianwan-server')}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Ten million long connections: gateway, message service and control plane in one program."""


def program_of(names: Iterable[str] = (*COMMANDS, BENCH)) -> typer.Typer:
    """The program with these of its commands. Raises KeyError for one that it does not have."""
    app = typer.Typer(
        name="qianwan",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for name in names:
        if name == BENCH:
            from program.cli.bench import add_bench

            add_bench(app)
            continue
        module, within = COMMANDS[name]
        found = getattr(import_module(module), within)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def run() -> None:
    """Run what the command line asks for; all commands are loaded where it names none, to be listed."""
    try:
        program_of(_asked_for(sys.argv[1:]))()
    except ModuleNotFoundError as error:
        if error.name != "qianwan":
            raise
        needs = "this command needs the client: install the wheel of qianwan-client too"
        typer.secho(needs, fg=typer.colors.RED, err=True)
        sys.exit(2)


def _asked_for(arguments: list[str]) -> tuple[str, ...]:
    """The options before a command take no values, so it is the first word."""
    first = next((word for word in arguments if not word.startswith("-")), None)
    if first in COMMANDS or first == BENCH:
        return (first,)
    return (*COMMANDS, BENCH)

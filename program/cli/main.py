"""The table of commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from program.cli import api_keys, cluster, config, keys, serve, tools
from program.cli.admin import (
    audit,
    callbacks,
    conns,
    dictionary,
    events,
    lbs,
    moderation,
    nodes,
    policy,
    push,
    routes,
    settings,
)
from program.cli.clients import chat, demo, top
from program.cli.simulate import simulate

app = typer.Typer(
    name="qianwan",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(serve.serve)
app.command()(keys.token)
app.add_typer(config.app, name="config")
app.command()(tools.doctor)
app.add_typer(keys.keys_app, name="keys")
app.add_typer(api_keys.app, name="api-key")
app.add_typer(tools.store_app, name="store")
app.command("nodes")(nodes.nodes)
app.command()(nodes.drain)
app.command()(nodes.undrain)
app.command()(nodes.storm)
app.command("conns")(conns.conns)
app.command()(conns.kick)
app.command()(conns.trace)
policy.app.command()(simulate)
app.add_typer(policy.app, name="policy")
app.add_typer(settings.app, name="settings")
app.add_typer(audit.app, name="audit")
app.add_typer(routes.app, name="routes")
app.add_typer(lbs.app, name="lbs")
app.add_typer(dictionary.app, name="dict")
app.add_typer(moderation.app, name="moderation")
app.add_typer(events.app, name="events")
app.add_typer(callbacks.app, name="callbacks")
app.add_typer(push.app, name="push")
app.add_typer(cluster.app, name="cluster")
app.command()(chat)
app.command()(demo)
app.command()(top)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"qianwan {version('qianwan-server')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Ten million long connections: gateway, message service and control plane in one program."""


def main() -> None:
    """Entry point. The benchmarks bring their own commands; they are loaded only when asked for or listed."""
    if _wants_bench(sys.argv[1:]):
        from program.cli.bench import add_bench

        add_bench(app)
    try:
        app()
    except ModuleNotFoundError as error:
        if error.name != "qianwan":
            raise
        needs = "this command needs the client: install the wheel of qianwan-client too"
        typer.secho(needs, fg=typer.colors.RED, err=True)
        sys.exit(2)


def _wants_bench(arguments: list[str]) -> bool:
    first = next((word for word in arguments if not word.startswith("-")), None)
    return first == "bench" or first is None

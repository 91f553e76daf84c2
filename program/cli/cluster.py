"""`qianwan cluster`: a whole cluster on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from program.cli.common import console, fail

if TYPE_CHECKING:
    from program.cluster.health import Health

app = typer.Typer(
    help="A whole cluster on this machine: etcd x3, NATS x3, PostgreSQL, two of each role.",
    no_args_is_help=True,
)

FolderOption = Annotated[Path, typer.Option("--folder", help="Where the cluster lives")]
DEFAULT_FOLDER = Path("qianwan-cluster")


@app.command()
def up(
    folder: FolderOption = DEFAULT_FOLDER,
    first_port: Annotated[
        int, typer.Option(min=0, max=65_000, help="Of 39 in a row; default: some that nobody uses now")
    ] = 0,
) -> None:
    """Start what does not run, and wait until all is well. The first time makes the folder."""
    from program.cluster.local import bring_up
    from program.cluster.plan import ClusterError

    try:
        cluster = bring_up(folder, typer.echo, first_port)
    except ClusterError as error:
        raise fail(str(error)) from None
    typer.echo(f"all is well in {cluster.folder}")
    typer.echo(f"clients ask {' or '.join(cluster.plan.lbs)}")
    for one in cluster.plan.of("control"):
        typer.echo(f"admin API of {one.name}: http://{one.peer}/v1/admin")


@app.command()
def status(
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Show each process: its address, whether it is well, who leads. Exit code 1 when one is not well."""
    import msgspec

    from program.cluster.local import LocalCluster
    from program.cluster.plan import ClusterError

    try:
        found = LocalCluster(folder).status()
    except ClusterError as error:
        raise fail(str(error)) from None
    if as_json:
        typer.echo(json.dumps({"processes": msgspec.to_builtins(found)}, indent=1))
    else:
        _print(found)
    raise typer.Exit(int(not all(each.well for each in found)))


def _print(found: list[Health]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("process", "address", "pid", "state", "part"):
        table.add_column(column, overflow="fold")
    for each in found:
        state = "[green]well[/]" if each.well else f"[red]{escape(each.problem)}[/]"
        table.add_row(each.name, each.address, str(each.pid or ""), state, each.part)
    console().print(table)


@app.command()
def demo(
    folder: FolderOption = DEFAULT_FOLDER,
    users: Annotated[int, typer.Option(min=4, max=400, help="Users who chat in pairs")] = 12,
    messages: Annotated[int, typer.Option(min=2, help="Messages of each to the other")] = 50,
) -> None:
    """Users on different gateways chat, a chatroom spans both, and one gateway is killed meanwhile. Exit code
    1 if a message is lost or doubled.
    """
    from program.cluster.demo import run_cluster_demo
    from program.cluster.plan import ClusterError

    try:
        clean = run_cluster_demo(folder, users, messages, typer.echo)
    except ClusterError as error:
        raise fail(str(error)) from None
    raise typer.Exit(int(not clean))


@app.command()
def down(
    folder: FolderOption = DEFAULT_FOLDER,
    purge: Annotated[bool, typer.Option("--purge", help="Remove the folder, data and all")] = False,
) -> None:
    """Stop everything, in order. The data are kept: `up` goes on with them."""
    from program.cluster.local import LocalCluster
    from program.cluster.local import purge as remove
    from program.cluster.plan import ClusterError

    try:
        late = LocalCluster(folder).down()
        if purge:
            remove(folder)
    except ClusterError as error:
        raise fail(str(error)) from None
    if late:
        raise fail(f"had to be killed: {', '.join(late)}")
    typer.echo("nothing runs any more" + (", nothing is kept" if purge else ""))

"""`qianwan nodes`, `drain`, `undrain`, `storm`: processes, and who comes and goes at a gateway."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, segment, show, show_gone, show_one
from program.cli.common import fail


class Role(StrEnum):
    GATEWAY = "gateway"
    IM = "im"
    CONTROL = "control"


NodeArgument = Annotated[str, typer.Argument(help="Name of the node, as `qianwan nodes` shows it")]
COLUMNS = {
    "id": "node_id", "name": "name", "roles": "roles", "address": "address", "zone": "zone",
    "connections": "connections", "capacity": "capacity", "draining": "draining",
}  # fmt: skip


@asks_admin
def nodes(
    admin: Admin,
    node: Annotated[str, typer.Argument(help="One node, by its name; default: all")] = "",
    role: Annotated[Role | None, typer.Option(help="Only those that have it")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the live processes of the cluster."""
    if node:
        show_one(admin.get(f"/nodes/{segment(node)}"), as_json)
        return
    found = admin.get("/nodes", {"role": role, "limit": 500})
    show(found, as_json, "Nodes", COLUMNS, "nodes")
    if not as_json and (absent := found.get("absent")) and isinstance(absent, list):
        typer.echo(
            f"Not there, and drained when they come (undrain): {', '.join(map(str, absent))}", err=True
        )
    if not as_json and (silent := found.get("silent")) and isinstance(silent, list):
        said = f"Listed by etcd, not heard on the bus (is it cut?): {', '.join(map(str, silent))}"
        typer.secho(said, fg=typer.colors.YELLOW, err=True)


@asks_admin
def drain(
    admin: Admin,
    node: NodeArgument,
    rate: Annotated[float, typer.Option(help="Clients a second")] = 100.0,
    redirect: Annotated[bool, typer.Option(help="Tell them where to go")] = True,
    deadline: Annotated[int, typer.Option(help="Seconds they may stay once told; 0: for ever")] = 60,
    force: Annotated[bool, typer.Option("--force", help="Also the last gateway that takes clients")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show it, change nothing")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send the clients of a gateway elsewhere while it goes on; LBS names it to nobody any more."""
    path = f"/nodes/{segment(node)}"
    if status:
        show_one(admin.get(path), as_json)
        return
    order = {"rate": rate, "redirect": redirect, "deadline_s": deadline, "force": force}
    ordered = admin.put(f"{path}/drain", order)
    show_one(ordered, as_json)
    if ordered.get("epoch"):
        typer.echo(f"{node} has no name of its own (server.node_name): this ends with its process", err=True)


@asks_admin
def undrain(
    admin: Admin,
    node: NodeArgument,
    as_json: JsonOption = False,
) -> None:
    """End a drain: who has not left may stay, and LBS names the gateway again."""
    ended = admin.delete(f"/nodes/{segment(node)}/drain")
    show_gone(ended, as_json, f"No drain was ordered of {node}")


@asks_admin
def storm(
    admin: Admin,
    node: Annotated[str, typer.Argument(help="One gateway; default: the whole cluster")] = "",
    admit: Annotated[str | None, typer.Option(help="Who may come in: all, known, none")] = None,
    new: Annotated[float | None, typer.Option(help="New clients a second; 0: no limit")] = None,
    known: Annotated[float | None, typer.Option(help="Known clients a second; 0: no limit")] = None,
    end: Annotated[bool, typer.Option("--end", help="As the settings say again")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show or say who is let in. What is not named stays as it was ordered; --end takes all of it back."""
    path = f"/storm/nodes/{segment(node)}" if node else "/storm/cluster"
    asked = not (admit is None and new is None and known is None)
    if end and asked:
        raise fail("--end takes everything back: leave out what else is asked", 2)
    if end:
        nothing = f"Nothing was ordered {f'of {node}' if node else 'of the cluster'}"
        show_gone(admin.delete(path), as_json, nothing)
    elif not asked:
        show_one(admin.get(path), as_json)
    else:
        found, revision = admin.read(path)
        named = {"admit": admit, "new_per_s": new, "known_per_s": known}
        order: Json = {what: found[what] if value is None else value for what, value in named.items()}
        show_one(admin.put(path, order, revision), as_json)
